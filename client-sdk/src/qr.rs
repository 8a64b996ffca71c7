//! A public verification code as a QR symbol, for screens, files and terminals.

use candor_core::verification::PublicCode;
use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};

/// Light modules around the symbol (ISO/IEC 18004: 4).
const QUIET: usize = 4;

/// Largest side of a module in a PNG, in pixels: pictures stay below 2,400 by 2,400.
const SCALE_MAX: usize = 64;

/// A QR symbol with its quiet zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrPicture {
    /// Modules of a side.
    width: usize,
    /// Whether a module is dark, row by row.
    dark: Vec<bool>,
}

impl QrPicture {
    /// The symbol of a code. It reads as the code in capital letters, with about 15 % of it
    /// recoverable.
    pub fn of(code: &PublicCode) -> Self {
        let symbol = QrCode::with_error_correction_level(code.to_qr_text(), EcLevel::M)
            .expect("47 characters of the alphanumeric mode fit a symbol");
        let inner = symbol.width();
        let width = inner + 2 * QUIET;
        let mut dark = vec![false; width * width];
        for (row, colors) in symbol.to_colors().chunks(inner).enumerate() {
            for (column, color) in colors.iter().enumerate() {
                dark[(row + QUIET) * width + column + QUIET] = *color == Color::Dark;
            }
        }
        Self { width, dark }
    }

    /// Modules of a side, the quiet zone included.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Whether the module in this row and column is dark; outside it is light.
    pub fn is_dark(&self, row: usize, column: usize) -> bool {
        let is_inside = row < self.width && column < self.width;
        is_inside && self.dark[row * self.width + column]
    }

    /// An SVG document, one unit a module.
    pub fn to_svg(&self) -> String {
        let mut path = String::new();
        for row in 0..self.width {
            for column in (0..self.width).filter(|column| self.is_dark(row, *column)) {
                path.push_str(&format!("M{column} {row}h1v1h-1z"));
            }
        }
        let side = self.width;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" \
             shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>\
             <path d=\"{path}\"/></svg>\n"
        )
    }

    /// A PNG file in black and white, `scale` pixels a module, 1 to 64.
    pub fn to_png(&self, scale: usize) -> Vec<u8> {
        let scale = scale.clamp(1, SCALE_MAX);
        let side = self.width * scale;
        let mut pixels = vec![0; side.div_ceil(8) * side];
        for (row, bytes) in pixels.chunks_mut(side.div_ceil(8)).enumerate() {
            for column in (0..side).filter(|it| !self.is_dark(row / scale, it / scale)) {
                bytes[column / 8] |= 0x80 >> (column % 8);
            }
        }
        let side = u32::try_from(side).expect("at most 64 pixels for each of 37 modules");
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, side, side);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::One);
        encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(&pixels))
            .expect("memory takes what is written, and the picture has the size of its header");
        file
    }

    /// Lines for a terminal, two modules a character. Light modules are drawn, so on a dark
    /// terminal the symbol is dark on light, as readers like it.
    pub fn to_terminal(&self) -> String {
        let mut text = String::new();
        for row in (0..self.width).step_by(2) {
            for column in 0..self.width {
                let below = row + 1 < self.width && !self.is_dark(row + 1, column);
                text.push(match (!self.is_dark(row, column), below) {
                    (true, true) => '█',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (false, false) => ' ',
                });
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use candor_core::account::AccountKey;

    use super::*;

    /// What a reader of QR symbols finds in a picture.
    fn read(width: usize, height: usize, luma: impl Fn(usize, usize) -> u8) -> String {
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, luma);
        let symbols = image.detect_grids();
        assert_eq!(symbols.len(), 1);
        symbols[0].decode().unwrap().1
    }

    fn luma(is_dark: bool) -> u8 {
        if is_dark { 0 } else { 255 }
    }

    fn code() -> PublicCode {
        PublicCode::of(&AccountKey([7; 32]))
    }

    /// Statement 19.
    #[test]
    fn a_png_reads_as_the_code() {
        for scale in [1, 3, 8] {
            let file = QrPicture::of(&code()).to_png(scale);
            let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
            decoder.set_transformations(png::Transformations::EXPAND);
            let mut reader = decoder.read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            let width = info.width as usize;
            if scale == 1 {
                // Too small for a reader, but exact.
                let picture = QrPicture::of(&code());
                for (at, pixel) in pixels.iter().enumerate() {
                    assert_eq!(*pixel, luma(picture.is_dark(at / width, at % width)));
                }
                continue;
            }
            let text = read(width, width, |x, y| pixels[y * width + x]);
            assert_eq!(PublicCode::parse(&text), Ok(code()));
        }
    }

    /// Statement 19.
    #[test]
    fn a_terminal_picture_and_an_svg_have_the_same_modules() {
        let picture = QrPicture::of(&code());
        let lines: Vec<Vec<char>> = picture
            .to_terminal()
            .lines()
            .map(|line| line.chars().collect())
            .collect();
        assert_eq!(lines.len(), picture.width().div_ceil(2));
        let is_light = |row: usize, column: usize| match lines[row / 2][column] {
            '█' => true,
            '▀' => row.is_multiple_of(2),
            '▄' => !row.is_multiple_of(2),
            _ => false,
        };
        let svg = picture.to_svg();
        for row in 0..picture.width() {
            for column in 0..picture.width() {
                let is_dark = picture.is_dark(row, column);
                assert_eq!(is_light(row, column), !is_dark);
                let drawn = svg.contains(&format!("M{column} {row}h1v1h-1z"));
                assert_eq!(drawn, is_dark);
            }
        }
        let scale = 4;
        let side = picture.width() * scale;
        let text = read(side, side, |x, y| luma(!is_light(y / scale, x / scale)));
        assert_eq!(PublicCode::parse(&text), Ok(code()));
    }

    #[test]
    fn a_scale_is_kept_within_bounds() {
        let picture = QrPicture::of(&code());
        assert_eq!(picture.to_png(0), picture.to_png(1));
        assert_eq!(picture.to_png(usize::MAX), picture.to_png(SCALE_MAX));
        assert!(!picture.is_dark(usize::MAX, 0) && !picture.is_dark(0, usize::MAX));
    }
}
