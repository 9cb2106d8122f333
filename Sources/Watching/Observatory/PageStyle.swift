// PageStyle: how the live page looks.
//
// Colours are the report's (ReportStyle), chosen to stay apart for colour-blind eyes and to have contrast in both
// schemes; no meaning hangs on colour alone.

enum PageStyle {
  static let css = """
    :root {
      color-scheme: light dark;
      --paper: #fdfdfc; --panel: #ffffff; --ink: #1d2129; --quiet: #5a6270; --rule: #e4e6ea; --edge: #d5d8de;
      --c1: #0067b1; --c2: #b8430b; --c3: #00755a; --c4: #85479f; --c5: #5a6270; --hot: #f5b800;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --paper: #14171c; --panel: #1a1e24; --ink: #e6e9ee; --quiet: #9da6b4; --rule: #2b313a; --edge: #363d48;
        --c1: #64b5ff; --c2: #ff9a5a; --c3: #45cfa4; --c4: #d2a2ee; --c5: #9da6b4; --hot: #b98a00;
      }
    }
    * { box-sizing: border-box; }
    html { scrollbar-gutter: stable; }
    body {
      margin: 0 auto; padding: 0 1.25rem 4rem; max-width: 74rem; background: var(--paper); color: var(--ink);
      font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
      -webkit-text-size-adjust: 100%;
    }
    a { color: var(--c1); text-underline-offset: .15em; }
    :focus-visible { outline: 2px solid var(--c1); outline-offset: 2px; border-radius: 3px; }
    main:focus { outline: none; }
    .skip { position: absolute; left: -100rem; }
    .skip:focus { left: 1rem; top: .5rem; background: var(--panel); padding: .3rem .6rem; z-index: 3; }
    header { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; align-items: baseline; padding: .9rem 0 .7rem;
      border-bottom: 1px solid var(--rule); position: sticky; top: 0; background: var(--paper); z-index: 2; }
    header p { margin: 0; }
    .brand { min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 22rem; }
    .brand a { font-weight: 700; letter-spacing: -.02em; text-decoration: none; color: inherit; }
    #run { color: var(--quiet); font-size: .88rem; }
    nav { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; }
    nav a { color: var(--quiet); text-decoration: none; padding: .25rem 0; border-bottom: 2px solid transparent; }
    nav a:hover { color: var(--ink); }
    nav a[aria-current] { color: var(--ink); border-color: var(--c1); }
    #state { margin-left: auto; font-size: .86rem; color: var(--quiet); }
    #state::before { content: ""; display: inline-block; width: .55em; height: .55em; border-radius: 50%;
      background: var(--c5); margin-right: .45em; }
    #state.live::before { background: var(--c3); }
    #problem, .warning { border-left: 3px solid var(--c2); padding: .2rem 0 .2rem .8rem; margin: 1rem 0 0; }
    h1 { font-size: 1.35rem; line-height: 1.3; font-weight: 600; letter-spacing: -.01em; margin: 1.4rem 0 .3rem;
      overflow-wrap: anywhere; }
    h2 { font-size: 1.05rem; font-weight: 600; margin: 2.2rem 0 .4rem; }
    .quiet, figcaption, .legend { color: var(--quiet); }
    .small { font-size: .86rem; }
    p { margin: .3rem 0 .8rem; }
    progress { appearance: none; width: 100%; height: .55rem; border: 0; border-radius: 4px; overflow: hidden;
      background: var(--rule); display: block; }
    progress::-webkit-progress-bar { background: var(--rule); }
    progress::-webkit-progress-value { background: var(--c1); }
    progress::-moz-progress-bar { background: var(--c1); }
    .tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.9rem, 1fr)); gap: .55rem;
      margin: 1.1rem 0; }
    .tile { background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; padding: .45rem .65rem; }
    .tile dt { color: var(--quiet); font-size: .82rem; }
    .tile dd { margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
    .tile small { display: block; font-size: .76rem; line-height: 1.35; color: var(--quiet); white-space: normal; }
    .grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: .4rem 2.2rem; }
    figure { margin: 1.2rem 0 0; min-width: 0; display: flex; flex-direction: column; }
    figure.wide { grid-column: 1 / -1; }
    figcaption { font-size: .86rem; line-height: 1.4; }
    figcaption strong { color: var(--ink); font-weight: 600; font-size: .95rem; display: block; }
    .legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .25rem 0 0; padding: 0; list-style: none;
      font-size: .82rem; }
    .legend li { display: flex; align-items: center; gap: .4rem; }
    .legend svg { width: 24px; height: 12px; flex: none; }
    .chart { display: block; width: 100%; overflow: visible; touch-action: pan-y; margin-top: auto; }
    figcaption, .legend { padding-bottom: .35rem; }
    .chart text { font-size: 11.5px; fill: var(--quiet); font-variant-numeric: tabular-nums; }
    .chart .label { font-weight: 500; fill: var(--c); paint-order: stroke; stroke: var(--paper); stroke-width: 5px;
      stroke-linejoin: round; }
    .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); }
      .c5 { --c: var(--c5); }
    path { fill: none; stroke-linecap: round; stroke-linejoin: round; }
    .axis { stroke: var(--rule); }
    .line { stroke: var(--c); stroke-width: 2; }
    .dashed { stroke-dasharray: 7 4; } .dotted { stroke-dasharray: .1 4.5; stroke-width: 2.4; }
    .faint { stroke: var(--c); opacity: .25; stroke-width: 1; }
    .full { fill: var(--c); stroke: var(--paper); } .hollow { fill: var(--paper); stroke: var(--c); stroke-width: 1.8; }
    .cursor { stroke: var(--quiet); opacity: .6; }
    .reference { stroke: var(--quiet); stroke-dasharray: 2 4; }
    #tip { position: absolute; pointer-events: none; background: var(--panel); border: 1px solid var(--edge);
      border-radius: 6px; box-shadow: 0 2px 10px #0002; padding: .4rem .6rem; font-size: .8rem; z-index: 4;
      font-variant-numeric: tabular-nums; white-space: nowrap; }
    #tip div { display: flex; justify-content: space-between; gap: 1rem; }
    #tip span { color: var(--c); }
    .scroll { overflow-x: auto; }
    table { border-collapse: collapse; font-size: .92rem; margin: .5rem 0; font-variant-numeric: tabular-nums;
      width: 100%; }
    table.fit { width: auto; }
    th, td { text-align: left; padding: .34rem .9rem .34rem 0; border-bottom: 1px solid var(--rule);
      vertical-align: baseline; }
    thead th { font-weight: 500; color: var(--quiet); font-size: .84rem; white-space: nowrap; }
    tbody th { font-weight: 400; }
    td.n, th.n { text-align: right; white-space: nowrap; }
    td.cut { max-width: 22rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    td.label { max-width: 11rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .strip { display: block; width: 162px; height: 28px; }
    table.middle td, table.middle th { vertical-align: middle; padding-top: .2rem; padding-bottom: .2rem; }
    .bar { stroke-linecap: butt; } .up { stroke: var(--c1); } .down { stroke: var(--c2); }
      .unknown { stroke: var(--c5); }
    .flip { fill: var(--c4); stroke: none; }
    .right { color: var(--c1); } .wrong { color: var(--c2); }
    .badge { border: 1px solid var(--edge); border-radius: 1em; padding: 0 .55em; font-size: .8rem; color: var(--quiet);
      white-space: nowrap; }
    .badge.bad { border-color: var(--c2); color: var(--c2); }
    dl.pairs { columns: 3 18rem; column-gap: 2.2rem; font-size: .9rem; margin: .6rem 0; }
    dl.pairs div { display: flex; justify-content: space-between; gap: 1rem; border-bottom: 1px solid var(--rule);
      padding: .22rem 0; break-inside: avoid; }
    dl.pairs dt { color: var(--quiet); } dl.pairs dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
    code, pre, .tokens { font: .88em/1.6 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
    pre, .tokens { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--panel); border-radius: 8px;
      border: 1px solid var(--rule); padding: .6rem .8rem; margin: .4rem 0; }
    .tokens span { border-radius: 3px; cursor: default; border-bottom: 2px solid transparent; }
    .tokens span[data-heat="1"] { background: color-mix(in srgb, var(--hot) 18%, transparent); }
    .tokens span[data-heat="2"] { background: color-mix(in srgb, var(--hot) 38%, transparent); }
    .tokens span[data-heat="3"] { background: color-mix(in srgb, var(--hot) 62%, transparent);
      border-color: var(--c2); }
    .tokens span.now { outline: 1.5px solid var(--c1); }
    .response { border-top: 1px solid var(--rule); padding: .6rem 0 .3rem; }
    button, select, input { font: inherit; font-size: .9rem; color: inherit; background: var(--panel);
      border: 1px solid var(--edge); border-radius: 6px; padding: .3rem .7rem; }
    button:disabled { opacity: .45; }
    .bar-row { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: .7rem 0; }
    @media (max-width: 44rem) {
      body { padding: 0 .9rem 3rem; }
      header { position: static; gap: .2rem .9rem; justify-content: space-between; }
      nav { gap: .1rem .95rem; order: 1; width: 100%; font-size: .95rem; }
      .tiles { grid-template-columns: repeat(auto-fill, minmax(6.6rem, 1fr)); gap: .45rem; }
      .tile dd { font-size: 1.12rem; }
      th, td { padding-right: .6rem; }
      td.cut { max-width: 11rem; } td.label { max-width: 6rem; }
    }
    @media (prefers-reduced-motion: no-preference) { progress::-webkit-progress-value { transition: width .4s; } }
    """
}
