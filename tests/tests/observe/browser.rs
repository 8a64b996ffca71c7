//! The pages of a running system in a real browser: nothing is refused by their own policy, no
//! text is wider than a telephone, and the facts are there.

use std::path::Path;
use std::process::{Command, Output};

use candor_system::process::http;
use candor_system::system::System;

/// Widths of pages, in pixels: a telephone's and a desk's.
const WIDTHS: [u32; 2] = [390, 1280];

/// Shows a page in a frame of some width, since windows have a least one, and notes how wide the
/// frame is, how wide the page, and what does not fit.
const MEASURE: &str = "const frame = document.querySelector('iframe');\
    frame.onload = () => {\
    const [view, page] = [frame.contentWindow, frame.contentDocument.documentElement];\
    const is_wide = it => it.getBoundingClientRect().right > page.clientWidth + 1\
    || it.clientWidth > 0 && it.scrollWidth > it.clientWidth + 1;\
    const all = [...page.querySelectorAll('main *')].filter(it => !it.closest('thead'));\
    const wide = all.filter(is_wide).map(it => it.tagName + ' ' + it.textContent.slice(0, 40));\
    document.body.dataset.measured = `${view.innerWidth}|${page.scrollWidth}|${wide}`; };\
    frame.srcdoc = html;";

/// Runs Chromium without a window; what it says is on standard error.
fn chromium(folder: &Path, url: &str) -> Output {
    let profile = tempfile::tempdir_in(folder).unwrap();
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
        ])
        .args([
            "--no-first-run",
            "--disable-background-networking",
            "--disable-sync",
        ])
        .args([
            "--disable-component-update",
            "--enable-logging=stderr",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args([
            "--window-size=1400,1000",
            "--hide-scrollbars",
            "--virtual-time-budget=5000",
        ])
        .arg(url)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What the browser has to say of a page.
fn complaints(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    let lines = said.lines().filter(|line| line.contains("CONSOLE"));
    lines.map(str::to_owned).collect()
}

/// Width of the frame and of a page in it, and what does not fit.
fn measured(folder: &Path, width: u32, html: &str) -> (u32, u32, String) {
    // As a script has a text in it: nothing in it ends the script.
    let html = serde_json::to_string(html).unwrap().replace("</", "<\\/");
    let frame = format!("<iframe style=\"width:{width}px;height:900px;border:0\"></iframe>");
    let page = format!("<body>{frame}<script>const html = {html};{MEASURE}</script></body>");
    let file = folder.join("page.html");
    std::fs::write(&file, page).unwrap();
    let output = chromium(folder, &format!("file://{}", file.display()));
    let dom = String::from_utf8(output.stdout).unwrap();
    let (_, note) = dom.split_once("data-measured=\"").unwrap();
    let (note, _) = note.split_once('"').unwrap();
    let parts: Vec<&str> = note.splitn(3, '|').collect();
    let widths = (parts[0].parse().unwrap(), parts[1].parse().unwrap());
    (widths.0, widths.1, parts[2].to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_read_in_a_browser() {
    if Command::new("chromium").arg("--version").output().is_err() {
        eprintln!("skipped: no chromium; `make tools` installs it");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(folder.path(), 2).unwrap();
    system.start().await.unwrap();
    // One witness is away, so that there is something to tell.
    system.witnesses[1].process().unwrap().kill().unwrap();
    let folder = folder.path();

    // The browser complains of what a policy refuses, and the measure finds what is too wide.
    let refused = "data:text/html,<meta http-equiv=Content-Security-Policy \
                   content=\"default-src 'none'\"><script>1</script>";
    assert!(!complaints(&chromium(folder, refused)).is_empty());
    let wide = format!("<main><pre>{}</pre></main></body>", "wide ".repeat(200));
    let (_, page, found) = measured(folder, 390, &wide);
    assert!(page > 390 && found.contains("PRE"), "{page}: {found}");

    let server = format!("http://{}/", system.server.http);
    let witness = format!("http://{}/", system.witnesses[0].http);
    for (url, facts) in [
        (&server, ["Published head", "aria-label=\"Updates over 1 h"]),
        (&witness, ["Last cosigned", "candor.example/demo"]),
    ] {
        let shown = chromium(folder, url);
        assert_eq!(complaints(&shown), [] as [&str; 0], "{url}");
        let dom = String::from_utf8(shown.stdout).unwrap();
        assert!(
            facts.iter().all(|fact| dom.contains(fact)),
            "{facts:?} in\n{dom}"
        );
        let request = http().unwrap().get(url).header("accept", "text/html");
        let html = request.send().await.unwrap().text().await.unwrap();
        for width in WIDTHS {
            let (frame, page, wide) = measured(folder, width, &html);
            assert_eq!(frame, width, "the frame is as wide as asked");
            assert!(
                page <= width && wide.is_empty(),
                "{url} at {width}: {page}, {wide}"
            );
        }
    }
}
