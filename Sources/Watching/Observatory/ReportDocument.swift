// ReportDocument: what the pages that `ttrl report` writes have in common: one HTML file that loads nothing.

enum ReportDocument {
  /// - Parameters:
  ///   - title: of the window, as text.
  ///   - header: above the content: what it is about, and the result in a sentence.
  static func html(title: String, header: Markup, main: Markup) -> String {
    let page: Markup = """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="referrer" content="no-referrer">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
      script-src 'unsafe-inline'; img-src data:">
      <link rel="icon" href="data:,">
      <title>ttrl: \(title)</title>
      <style>
      \(Markup.reportStyle)
      </style>
      </head>
      <body>
      <header>
      \(header)</header>
      <main>
      \(main)</main>
      <script>
      \(Markup.reportScript)
      </script>
      </body>
      </html>

      """
    return page.text
  }
}
