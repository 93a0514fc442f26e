/* A static program without what of SQLite it does not use: full text, spatial and statistics tables, JSON, extensions
 * in files, threads, date and time, and mathematics, whose functions give NULL. */
#include "without.h"

#include <math.h>

__attribute__((used)) static int absent(void)
{
    return 0; /* SQLITE_OK: registered */
}

__attribute__((used)) static double no_number(void)
{
    return NAN;
}

#define ABSENT(name) WITHOUT(name, absent)
#define NO_NUMBER(name) WITHOUT(name, no_number)

ABSENT(sqlite3Fts3Init);
ABSENT(sqlite3Fts5Init);
ABSENT(sqlite3RtreeInit);
ABSENT(sqlite3DbstatRegister);
ABSENT(sqlite3StmtVtabInit);
ABSENT(sqlite3RegisterJsonFunctions);
ABSENT(sqlite3JsonTableFunctions);
ABSENT(sqlite3ThreadCreate);
ABSENT(sqlite3ThreadJoin);
ABSENT(sqlite3RegisterDateTimeFunctions);
ABSENT(sqlite3_load_extension);
ABSENT(sqlite3_reset_auto_extension);
ABSENT(sqlite3AutoLoadExtensions);
ABSENT(sqlite3CloseExtensions);

NO_NUMBER(acos);
NO_NUMBER(acosh);
NO_NUMBER(asin);
NO_NUMBER(asinh);
NO_NUMBER(atan);
NO_NUMBER(atan2);
NO_NUMBER(atanh);
NO_NUMBER(cos);
NO_NUMBER(cosh);
NO_NUMBER(exp);
NO_NUMBER(fmod);
NO_NUMBER(log);
NO_NUMBER(pow);
NO_NUMBER(sin);
NO_NUMBER(sinh);
NO_NUMBER(tan);
NO_NUMBER(tanh);
