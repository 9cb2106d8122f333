// The files of `files/` as bytes, so that the program is one file.
//
// clang lists embedded files among the dependencies of this file, so `swift build` notices when one of them changes.
#include "CPageFiles.h"

#include <string.h>

static const unsigned char shared_css[] = {
#embed "files/shared.css"
};
static const unsigned char page_css[] = {
#embed "files/page.css"
};
static const unsigned char report_css[] = {
#embed "files/report.css"
};
static const unsigned char shared_js[] = {
#embed "files/shared.js"
};
static const unsigned char report_js[] = {
#embed "files/report.js"
};
static const unsigned char page_tools_js[] = {
#embed "files/page-tools.js"
};
static const unsigned char page_charts_js[] = {
#embed "files/page-charts.js"
};
static const unsigned char page_overview_js[] = {
#embed "files/page-overview.js"
};
static const unsigned char page_lists_js[] = {
#embed "files/page-lists.js"
};
static const unsigned char page_prompt_js[] = {
#embed "files/page-prompt.js"
};
static const unsigned char page_start_js[] = {
#embed "files/page-start.js"
};

static const struct {
  const char *name;
  const unsigned char *bytes;
  long count;
} files[] = {
    {"shared.css", shared_css, sizeof shared_css},
    {"page.css", page_css, sizeof page_css},
    {"report.css", report_css, sizeof report_css},
    {"shared.js", shared_js, sizeof shared_js},
    {"report.js", report_js, sizeof report_js},
    {"page-tools.js", page_tools_js, sizeof page_tools_js},
    {"page-charts.js", page_charts_js, sizeof page_charts_js},
    {"page-overview.js", page_overview_js, sizeof page_overview_js},
    {"page-lists.js", page_lists_js, sizeof page_lists_js},
    {"page-prompt.js", page_prompt_js, sizeof page_prompt_js},
    {"page-start.js", page_start_js, sizeof page_start_js},
};

const unsigned char *ttrl_page_file(const char *name, long *count) {
  for (size_t index = 0; index < sizeof files / sizeof files[0]; index += 1) {
    if (strcmp(name, files[index].name) == 0) {
      *count = files[index].count;
      return files[index].bytes;
    }
  }
  return NULL;
}
