// The looks of the report, as one style sheet in the page. Colours are named by what they mean and given
// twice, for light and for dark; the timeline's script reads the same names. Must load nothing.

export const reportStyle = `
:root{color-scheme:light dark;--paper:#fcfcfb;--card:#f3f3f1;--ink:#1b1d20;--soft:#5b6068;--line:#dcdcd8;
--good:#177245;--bad:#c0262d;--warn:#a35b00;--write:#2563c9;--read:#a9c4ee;--failed:#c3c6ca;
  --unknown:#d97a00;
--leader:#2563c9;--follower:#cfd6df;--other:#d97a00;--down:#9a9fa6;
--process:#c0262d;--network:#7a4cc2;--clients:#0f7f8a;--disk:#8a6a00;--band:.13}
@media (prefers-color-scheme:dark){:root{--paper:#141618;--card:#1e2124;--ink:#e8e9ea;--soft:#a2a8b0;
  --line:#33373c;
--good:#4cc38a;--bad:#ff6b70;--warn:#f0a742;--write:#5b9bff;--read:#2f4a75;--failed:#4d535a;
  --unknown:#f0a742;
--leader:#5b9bff;--follower:#3a414a;--other:#f0a742;--down:#6b727b;
--process:#ff6b70;--network:#b693f5;--clients:#47c1cd;--disk:#d9b64a;--band:.2}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;overflow-wrap:anywhere;background:var(--paper);color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",
  Roboto,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:30px;line-height:1.2;margin:6px 0 10px;letter-spacing:-.015em;text-wrap:balance}
h2{font-size:19px;margin:44px 0 12px;letter-spacing:-.01em}
h3{font-size:15px;margin:0}
p{margin:0 0 10px;max-width:72ch}
code,.mono{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
pre{margin:8px 0;padding:10px 12px;background:var(--card);border-radius:8px;white-space:pre-wrap;
  overflow-wrap:anywhere}
.brand{color:var(--soft);font-size:13px;margin:0}
.verdict{border-left:5px solid var(--tone);margin:14px 0 0;padding:4px 0 4px 18px}
.verdict p:last-child{margin:0}
.verdict .sign{color:var(--tone);font-weight:650;font-size:14px;margin:0}
.holds{--tone:var(--good)}.violated{--tone:var(--bad)}.undecided,.interrupted,.skipped{--tone:var(--warn)}
.facts{display:grid;grid-template-columns:repeat(4,1fr);gap:10px;margin:22px 0 0;padding:0}
.facts div{background:var(--card);border-radius:10px;padding:12px 14px}
.facts dt{color:var(--soft);font-size:13px;line-height:1.35}
.facts dd{margin:0;font-size:23px;font-weight:600;letter-spacing:-.01em;font-variant-numeric:tabular-nums;
  line-height:1.3}
.facts small{display:block;color:var(--soft);font-size:12.5px;font-weight:400;letter-spacing:0;
  line-height:1.35}
.checks{list-style:none;margin:0;padding:0;border-top:1px solid var(--line)}
.checks li{display:grid;grid-template-columns:190px 1fr;gap:2px 16px;padding:10px 0;
  border-bottom:1px solid var(--line)}
.checks b{font-weight:600}.checks b span{color:var(--tone);margin-right:7px}
.checks p{margin:0;overflow-wrap:anywhere}
.legend{display:flex;flex-wrap:wrap;gap:2px 14px;list-style:none;margin:0;padding:0;color:var(--soft);
  font-size:13px}
.key{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;vertical-align:-1px;
  background:var(--c)}
.k-write{--c:var(--write)}.k-read{--c:var(--read)}.k-failed{--c:var(--failed)}.k-unknown{--c:var(--unknown)}
.k-leader{--c:var(--leader)}.k-follower{--c:var(--follower)}.k-other{--c:var(--other)}.k-down{
  --c:var(--down)}
.k-p50{--c:var(--write)}.k-p99{--c:var(--unknown)}.k-max{--c:var(--down)}.k-proof{--c:var(--bad)}
.g-process{--c:var(--process)}.g-network{--c:var(--network)}.g-clients{--c:var(--clients)}.g-disk{
  --c:var(--disk)}
figure{margin:0}
.chart{margin:0 0 30px}
.chart figcaption{display:flex;flex-wrap:wrap;gap:2px 18px;align-items:baseline;margin-bottom:8px}
.plot{position:relative;padding:0 0 22px 58px}
.plot svg{display:block;width:100%;height:150px;overflow:visible;border-left:1px solid var(--line);
  border-bottom:1px solid var(--line)}
.plot svg path{fill:none;vector-effect:non-scaling-stroke;stroke-width:1.5}
.side span,.time span{position:absolute;color:var(--soft);font-size:12px;line-height:1;
  font-variant-numeric:tabular-nums;white-space:nowrap}
.side{position:absolute;left:0;top:0;width:50px;height:150px}.side span{right:0;transform:translateY(-50%)}
.time{position:absolute;left:58px;right:0;bottom:14px}.time span{transform:translateX(-50%);top:0}
.time span:first-child{transform:none}
.plot .grid{stroke:var(--line);stroke-width:1}
.band{fill:var(--c);fill-opacity:var(--band)}
.plot .s-write{fill:var(--write)}.plot .s-read{fill:var(--read)}.plot .s-unknown{stroke:var(--unknown);
  stroke-width:2.5}
.plot .s-p50{stroke:var(--write)}.plot .s-p99{stroke:var(--unknown)}.plot .s-max{stroke:var(--down);
  stroke-width:1}
.s-leader{fill:var(--leader)}.s-other{fill:var(--other)}.s-down{fill:var(--down);fill-opacity:.45}
.tools{display:flex;flex-wrap:wrap;gap:8px;align-items:center;margin:0 0 8px}
button{font:inherit;font-size:14px;color:var(--ink);background:var(--card);border:1px solid var(--line);
  border-radius:8px;padding:5px 12px;min-height:34px;cursor:pointer}
button:hover{border-color:var(--soft)}
:focus-visible{outline:2px solid var(--write);outline-offset:2px}
.timeline{display:block;width:100%;border:1px solid var(--line);border-radius:10px;touch-action:pan-y;
  cursor:grab;background:var(--paper)}
.readout{min-height:46px;margin:8px 0 0;color:var(--soft);font-size:14px;overflow-wrap:anywhere;
  max-width:none}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;vertical-align:top;padding:7px 14px 7px 0;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500;font-size:13px;white-space:nowrap}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.wide{min-width:220px;overflow-wrap:anywhere}
td button{padding:1px 9px;min-height:28px;font-size:13px}
details summary{cursor:pointer;padding:6px 0;color:var(--soft)}
.skippedrow td{color:var(--soft)}
.counts{display:flex;flex-wrap:wrap;gap:6px 8px;list-style:none;margin:0 0 8px;padding:0}
.counts li{background:var(--card);border-radius:20px;padding:3px 12px;font-size:13.5px}
.order{position:relative;margin:14px 0 18px;padding:0;list-style:none;background:var(--card);
  border-radius:10px;overflow:hidden}
.order li{position:relative;height:46px;border-bottom:1px solid var(--line)}
.order li:last-child{border-bottom:0}
.order i{position:absolute;bottom:7px;height:10px;border-radius:4px;background:var(--c);min-width:3px}
.order span{position:absolute;left:10px;right:10px;top:5px;font-size:13px;line-height:1.4;
  white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
footer{margin-top:50px;color:var(--soft);font-size:13.5px}
@media (max-width:640px){main{padding:18px 14px 40px}h1{font-size:24px}.checks li{grid-template-columns:1fr}
.facts{grid-template-columns:1fr 1fr}.facts dd{font-size:20px}.time span:nth-child(even){display:none}
.plot{padding-left:48px}.side{width:42px}.time{left:48px}}
@media print{.tools,.readout,td button{display:none}main{max-width:none}}
`;
