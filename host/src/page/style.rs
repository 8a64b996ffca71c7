//! How pages look: one style for all of them, without anything loaded.

/// Colours have a contrast of at least 4.5 to 1 with what they are on, in light and in dark.
pub(super) const STYLE: &str = "\
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--text:#1a1f27;--soft:#566070;\
--rule:#dde1e7;--accent:#1f5fbf;--fill:#1f5fbf26;--good:#17693a;--good-fill:#e2f4e8;\
--doubtful:#7a5200;--doubtful-fill:#fdf1d6;--bad:#a11420;--bad-fill:#fde5e6}\
@media(prefers-color-scheme:dark){:root{--page:#12151a;--card:#1b2027;--text:#e8ebf0;\
--soft:#a3adbb;--rule:#323a45;--accent:#7fb0ff;--fill:#7fb0ff30;--good:#7fdca0;\
--good-fill:#143321;--doubtful:#f2c76a;--doubtful-fill:#3a2d10;--bad:#ff9da3;--bad-fill:#451a1e}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--page);color:var(--text);\
font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif}\
main{max-width:72rem;margin:0 auto;padding:1.5rem 1rem 3rem}\
header p{margin:0;color:var(--soft)}\
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem;overflow-wrap:anywhere}\
h2{font-size:1.1rem;margin:2rem 0 .6rem}\
h3{font-size:.95rem;margin:1.2rem 0 .5rem;color:var(--soft);font-weight:600}\
a{color:var(--accent)}\
code,pre{font:.9em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;\
overflow-wrap:anywhere;white-space:pre-wrap}\
pre{background:var(--card);border:1px solid var(--rule);border-radius:.5rem;padding:1rem}\
.notice{margin:1rem 0;padding:.7rem 1rem;border-radius:.5rem;border-left:.3rem solid;\
font-weight:600;overflow-wrap:anywhere}\
.notice::first-letter{text-transform:uppercase}\
.good{color:var(--good);background:var(--good-fill)}\
.doubtful{color:var(--doubtful);background:var(--doubtful-fill)}\
.bad{color:var(--bad);background:var(--bad-fill)}\
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(9.5rem,100%),1fr));\
gap:.8rem;margin:1rem 0;padding:0;list-style:none}\
.cards li{background:var(--card);border:1px solid var(--rule);border-radius:.6rem;\
padding:.8rem 1rem;min-width:0}\
.cards span{display:block;color:var(--soft);font-size:.9rem}\
.cards b{display:block;font-size:1.5rem;line-height:1.3;font-variant-numeric:tabular-nums;\
overflow-wrap:anywhere}\
table{width:100%;border-collapse:separate;background:var(--card);border:1px solid var(--rule);\
border-radius:.6rem;border-spacing:0}\
th,td{padding:.55rem .9rem;text-align:left;vertical-align:top;border-top:1px solid var(--rule);\
overflow-wrap:anywhere;font-variant-numeric:tabular-nums}\
tr:first-child>th,tr:first-child>td{border-top:0}\
tbody tr:first-child>td{border-top:1px solid var(--rule)}\
.facts tr:first-child>td{border-top:0}\
thead th{color:var(--soft);font-size:.85rem;font-weight:600;white-space:nowrap}\
.number{white-space:nowrap}\
.facts th{width:14rem;color:var(--soft);font-weight:600}\
.state{display:inline-block;padding:.1rem .55rem;border-radius:.4rem;font-weight:600}\
summary{cursor:pointer}\
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(16rem,100%),1fr));gap:.8rem}\
figure{margin:0;background:var(--card);border:1px solid var(--rule);border-radius:.6rem;\
padding:.8rem 1rem;min-width:0}\
figcaption b,figcaption span{display:block}\
figcaption span{color:var(--soft);font-size:.85rem;min-height:1.5em}\
svg{display:block;width:100%;height:4.5rem;margin-top:.4rem;border-bottom:1px solid var(--rule)}\
.area{fill:var(--fill)}\
.line{fill:none;stroke:var(--accent);stroke-width:1.6;vector-effect:non-scaling-stroke}\
.axis{display:flex;justify-content:space-between;color:var(--soft);font-size:.8rem}\
dl{margin:0}dt{font-weight:600}dd{margin:0 0 .7rem;color:var(--soft)}\
footer{margin-top:2rem;padding-top:1rem;border-top:1px solid var(--rule);color:var(--soft);\
font-size:.9rem}\
@media(max-width:40rem){.wide thead{position:absolute;left:-999rem}\
.wide,.wide tbody,.wide tr,.wide td{display:block;width:100%}\
.wide tr{padding:.5rem 0;border-top:1px solid var(--rule)}.wide tr:first-child{border-top:0}\
.wide td,.wide tr:first-child>td{border:0;padding:.2rem .9rem}\
.wide td::before{content:attr(data-name);display:block;color:var(--soft);font-size:.8rem}\
.facts th,.facts td{display:block;width:100%;border:0;padding:.1rem .9rem}\
.facts tr{display:block;padding:.45rem 0;border-top:1px solid var(--rule)}\
.facts tr:first-child{border-top:0}}";
