/*
 * ledger FILE NUMBER - the least that an executed request can cost in mailsudo's ledger: the floor of that part.
 *
 * Opens the ledger FILE with the same SQLite, linked in as it is in mailsudo, and writes what an executed request needs
 * there, with the fewest statements: the request, an event and a counter durably, then its end, an event and the counters
 * durably, then that the reply was sent. NUMBER, which must be new, makes the request. It reads no configuration and no mail, looks
 * nothing up, compares nothing, hashes nothing and runs nothing. Exit status 0, or 75 if a step fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is needed of sqlite3.h, which the library's archive does not bring with it. */
typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
int sqlite3_open_v2(const char *, sqlite3 **, int, const char *);
int sqlite3_busy_timeout(sqlite3 *, int);
int sqlite3_db_config(sqlite3 *, int, ...);
int sqlite3_wal_autocheckpoint(sqlite3 *, int);
int sqlite3_exec(sqlite3 *, const char *, void *, void *, char **);
int sqlite3_prepare_v2(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
int sqlite3_bind_int64(sqlite3_stmt *, int, long long);
int sqlite3_bind_text(sqlite3_stmt *, int, const char *, int, void (*)(void *));
int sqlite3_bind_blob(sqlite3_stmt *, int, const void *, int, void (*)(void *));
int sqlite3_step(sqlite3_stmt *);
int sqlite3_reset(sqlite3_stmt *);

enum { OK = 0, DONE = 101, READWRITE = 0x2, NOMUTEX = 0x8000, NOFOLLOW = 0x01000000, NO_CKPT_ON_CLOSE = 1006, ENABLE_QPSG = 1007 };
/* As mailsudo has it (src/limits). */
enum { WAL_PAGES = 100, TIMEOUT = 10000 };

static sqlite3 *ledger;

static void need(int fine) {
    if (!fine) _exit(75);
}

static void run(const char *sql) {
    need(sqlite3_exec(ledger, sql, NULL, NULL, NULL) == OK);
}

static sqlite3_stmt *prepared(const char *sql) {
    sqlite3_stmt *statement;
    need(sqlite3_prepare_v2(ledger, sql, -1, &statement, NULL) == OK);
    return statement;
}

static void step(sqlite3_stmt *statement) {
    need(sqlite3_step(statement) == DONE);
    sqlite3_reset(statement);
}

/* An event of the audit chain; its text is as long as one of mailsudo's. */
static void event(long long time, const void *head, int length) {
    static sqlite3_stmt *insert;
    static char text[300];
    if (!insert) insert = prepared("INSERT INTO events (at, event, head) VALUES (?1, ?2, ?3)");
    memset(text, 'e', sizeof text);
    sqlite3_bind_int64(insert, 1, time);
    sqlite3_bind_text(insert, 2, text, length, NULL);
    sqlite3_bind_blob(insert, 3, head, 32, NULL);
    step(insert);
}

static void count(const char *series) {
    static sqlite3_stmt *update;
    if (!update) update = prepared("UPDATE counters SET value = value + 1 WHERE series = ?1");
    sqlite3_bind_text(update, 1, series, -1, NULL);
    step(update);
}

int main(int argc, char **argv) {
    need(argc == 3);
    long long number = atoll(argv[2]), time = 1800000000 + number;
    char user[32], id[32], reply[1000];
    snprintf(user, sizeof user, "user-%lld", number);
    /* Spread as a digest is. */
    for (int at = 0; at < 32; at++) id[at] = (char)(number * 2654435761u * (at + 1) >> 7);
    memset(reply, 'r', sizeof reply);

    need(sqlite3_open_v2(argv[1], &ledger, READWRITE | NOMUTEX | NOFOLLOW, NULL) == OK);
    sqlite3_busy_timeout(ledger, TIMEOUT);
    sqlite3_db_config(ledger, NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    sqlite3_db_config(ledger, ENABLE_QPSG, 1, (int *)NULL);
    sqlite3_wal_autocheckpoint(ledger, WAL_PAGES);

    run("BEGIN IMMEDIATE");
    sqlite3_stmt *insert = prepared(
        "INSERT INTO requests (name, user, command, arguments, signed, first_seen, state, step, run_as, argv, started, audit_lost,"
        " holds_until) VALUES (?1, ?2, 'nothing', '', ?3, ?3, 'started', ?4, 'nobody', '/usr/bin/true', ?3, 0, ?3 + 60)");
    sqlite3_bind_blob(insert, 1, id, sizeof id, NULL);
    sqlite3_bind_text(insert, 2, user, -1, NULL);
    sqlite3_bind_int64(insert, 3, time);
    sqlite3_bind_int64(insert, 4, time / 30);
    step(insert);
    event(time, id, 250);
    count("recorded");
    run("COMMIT");

    run("BEGIN IMMEDIATE");
    sqlite3_stmt *end = prepared(
        "UPDATE requests SET state = 'finished', finished = ?2, result = 'exit-0', reply_to = 'user@users.example', reply = ?3,"
        " holds_until = NULL WHERE name = ?1");
    sqlite3_bind_blob(end, 1, id, sizeof id, NULL);
    sqlite3_bind_int64(end, 2, time);
    sqlite3_bind_blob(end, 3, reply, sizeof reply, NULL);
    step(end);
    event(time, id, 200);
    /* As many as mailsudo counts: the result, the command, its time and the sum of times. */
    for (int times = 0; times < 4; times++) count("recorded");
    run("COMMIT");

    run("PRAGMA synchronous = NORMAL");
    run("BEGIN IMMEDIATE");
    sqlite3_stmt *sent = prepared("UPDATE requests SET handed_over = ?2 WHERE name = ?1");
    sqlite3_bind_blob(sent, 1, id, sizeof id, NULL);
    sqlite3_bind_int64(sent, 2, time);
    step(sent);
    event(time, id, 80);
    count("replied");
    run("COMMIT");
    return 0;
}
