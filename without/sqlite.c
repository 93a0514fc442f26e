/* A static program without what of SQLite it does not use: full text, spatial and statistics tables, JSON, extensions
 * in files, threads, date and time, and mathematics. */
#include "without.h"

__attribute__((used)) static int absent(void)
{
    return 0; /* SQLITE_OK: registered */
}

/* For what has no answer that says so. */
__attribute__((used)) static void never(void)
{
    __builtin_trap();
}

#define ABSENT(name) WITHOUT(name, absent)
#define NEVER(name) WITHOUT(name, never)

ABSENT(sqlite3Fts3Init);
ABSENT(sqlite3Fts5Init);
ABSENT(sqlite3RtreeInit);
ABSENT(sqlite3DbstatRegister);
ABSENT(sqlite3StmtVtabInit);
ABSENT(sqlite3RegisterJsonFunctions);
ABSENT(sqlite3JsonTableFunctions);
NEVER(sqlite3ThreadCreate);
NEVER(sqlite3ThreadJoin);
ABSENT(sqlite3RegisterDateTimeFunctions);
NEVER(sqlite3_load_extension);
ABSENT(sqlite3_reset_auto_extension);
ABSENT(sqlite3AutoLoadExtensions);
ABSENT(sqlite3CloseExtensions);

NEVER(acos);
NEVER(acosh);
NEVER(asin);
NEVER(asinh);
NEVER(atan);
NEVER(atan2);
NEVER(atanh);
NEVER(cos);
NEVER(cosh);
NEVER(exp);
NEVER(fmod);
NEVER(log);
NEVER(pow);
NEVER(sin);
NEVER(sinh);
NEVER(tan);
NEVER(tanh);
