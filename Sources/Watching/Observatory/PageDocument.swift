// PageDocument: the live page as one HTML document. It contains nothing of a run.
//
// Its style and its script are the files of CPageFiles. The script asks this server for JSON and builds the page with
// createElement and textContent: text of a run is never parsed as markup, and no string of a run becomes code, an
// address or a style. The page's policy (PageRole.Page) forbids the browser everything else. The page needs no other
// server, and it works on a phone, with a keyboard, in light and dark.

import PageFiles

package enum PageDocument {
  package static let style = PageFile.text([.sharedStyle, .pageStyle])
  /// The parts share their top level: `shared.js` comes first, `page-start.js` starts it all.
  package static let script = PageFile.text([
    .sharedScript, .toolsScript, .chartsScript, .overviewScript, .listsScript, .promptScript, .startScript,
  ])

  package static let html = """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="referrer" content="no-referrer">
    <link rel="icon" href="data:,">
    <title>ttrl</title>
    <style>\(style)</style>
    </head>
    <body>
    <a class="skip" href="#main">to the content</a>
    <header>
    <p class="brand"><a href="#/">ttrl</a> <span id="run"></span></p>
    <nav aria-label="pages"><a href="#/">Run</a><a href="#/prompts">Prompts</a><a href="#/steps">Steps</a>\
    <a href="#/fleet">Fleet</a><a href="#/events">Events</a><a href="#/settings">Settings</a></nav>
    <p id="state" role="status"></p>
    </header>
    <p id="problem" role="alert" hidden></p>
    <main id="main" tabindex="-1"><p class="quiet">Reading the run …</p></main>
    <noscript><p>This page needs a script. The same figures are in <a href="/metrics">/metrics</a> and
    <a href="/api/run">/api/run</a>, and <code>ttrl status</code> prints them in a terminal.</p></noscript>
    <script>\(script)</script>
    </body>
    </html>

    """
}
