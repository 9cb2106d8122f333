// SQLite, plus the macro that Swift cannot import.
#pragma once
#include <sqlite3.h>

// Tells SQLite to copy what is bound.
static inline sqlite3_destructor_type ttrl_sqlite_transient(void) { return SQLITE_TRANSIENT; }
