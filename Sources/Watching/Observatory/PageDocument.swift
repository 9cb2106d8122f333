// PageDocument: the live page, one file: markup, style, script. Nothing in it comes from a run.
//
// The script asks this server for JSON and builds the page from it with createElement and textContent: text from a run
// is never parsed as markup, and no string of it becomes code, an address or a style. The page's policy (PageRole.Page)
// forbids the browser everything else. It works without a network beyond the server, on a phone, with a keyboard, in
// light and dark. The look is that of report.html: same words, same colours, same kinds of line.
// Parts: PageStyle (look), PageScript (fetching, routes, small tools), PageCharts (drawing), PageViews (the pages).

package enum PageDocument {
  package static let style = PageStyle.css
  package static let script =
    "\"use strict\";\n" + PageScript.tools + PageCharts.script + PageViews.overview + PageViews.lists
    + PageViews.prompt + PageScript.start

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
    <noscript><p>This page draws itself with a script. The same figures: <a href="/metrics">/metrics</a>,
    <a href="/api/run">/api/run</a>, or <code>ttrl status</code> in a terminal.</p></noscript>
    <script>\(script)</script>
    </body>
    </html>

    """
}
