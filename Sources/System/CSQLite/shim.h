// SQLite with its session extension, plus the macro that Swift cannot import.
#pragma once
// The header shows the extension only to programs that say that the library has it. The distributions' libraries have.
#define SQLITE_ENABLE_SESSION 1
#define SQLITE_ENABLE_PREUPDATE_HOOK 1
#include <sqlite3.h>

// Tells SQLite to copy what is bound.
static inline sqlite3_destructor_type ttrl_sqlite_transient(void) { return SQLITE_TRANSIENT; }
