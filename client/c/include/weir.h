/* The client of weir, an observability agent, for C (C99 and later). The same library as weir/weir.h for C++.
 *
 *   weir_log(WEIR_LEVEL_INFO, "order {id} accepted", weir_u64("id", 7), weir_f64("ms", 3.5));
 *
 * No call fails, waits or stops the program: what has no room is counted (weir_get_stats). NULL for a handle
 * is allowed everywhere and does nothing. Texts are UTF-8, end in a zero, and are copied, unless it says
 * otherwise. The binary interface is stable: structures only grow at their end, and say their size where the
 * library writes. */
#ifndef WEIR_C_H
#define WEIR_C_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  WEIR_LEVEL_TRACE,
  WEIR_LEVEL_DEBUG,
  WEIR_LEVEL_INFO,
  WEIR_LEVEL_WARN,
  WEIR_LEVEL_ERROR,
  WEIR_LEVEL_FATAL
};
enum {
  WEIR_TYPE_NULL = 0,
  WEIR_TYPE_I64 = 3,
  WEIR_TYPE_U64 = 4,
  WEIR_TYPE_F64 = 5,
  WEIR_TYPE_BOOL = 6,
  WEIR_TYPE_TEXT = 7,
  WEIR_TYPE_JSON = 9
};

/* A name and a value. The name is a string literal. */
typedef struct weir_arg {
  const char* name;
  int32_t type; /* WEIR_TYPE_... */
  int32_t reserved;
  union {
    int64_t i;
    uint64_t u;
    double f;
    const char* s; /* of texts and JSON; NULL counts as empty */
  } value;
} weir_arg;

static inline weir_arg weir_i64(const char* name, int64_t value) {
  weir_arg a = {name, WEIR_TYPE_I64, 0, {0}};
  a.value.i = value;
  return a;
}
static inline weir_arg weir_u64(const char* name, uint64_t value) {
  weir_arg a = {name, WEIR_TYPE_U64, 0, {0}};
  a.value.u = value;
  return a;
}
static inline weir_arg weir_f64(const char* name, double value) {
  weir_arg a = {name, WEIR_TYPE_F64, 0, {0}};
  a.value.f = value;
  return a;
}
static inline weir_arg weir_bool(const char* name, int value) {
  weir_arg a = {name, WEIR_TYPE_BOOL, 0, {0}};
  a.value.u = value != 0;
  return a;
}
static inline weir_arg weir_text(const char* name, const char* value) {
  weir_arg a = {name, WEIR_TYPE_TEXT, 0, {0}};
  a.value.s = value;
  return a;
}
/* One JSON value as text; the caller answers for its being one. */
static inline weir_arg weir_json(const char* name, const char* value) {
  weir_arg a = {name, WEIR_TYPE_JSON, 0, {0}};
  a.value.s = value;
  return a;
}

/* --- the connection: nothing has to be called
 * ------------------------------------------------------------------ */

/* NULL or empty: the default (weir/client.h). address: unix:PATH or tcp:HOST:PORT; ack: none, received,
 * buffered or durable. */
void weir_configure(const char* service, const char* address, const char* ack);
/* 1: the agent has everything that was written before; 0: not within timeout_ms. */
int weir_flush(unsigned timeout_ms);

typedef struct weir_stats {
  size_t size;   /* of this structure: set by the caller */
  int transport; /* 0 none, 1 frames, 2 ring, 3 lines */
  uint64_t rings, dropped, sent, acknowledged, rejected, connections;
} weir_stats;
void weir_get_stats(weir_stats* stats);
/* Why the agent is away, for a person; empty: it is there. As snprintf: what does not fit is cut, and what
 * all of it would take is returned. */
size_t weir_last_error(char* text, size_t size);

/* --- logs
 * ------------------------------------------------------------------------------------------------------- */

/* A call site: what never changes about a log. Static, made by weir_log. */
typedef struct weir_site {
  const char *message, *logger, *where;
  int32_t level;
  uint32_t id; /* the library's, as all that follows */
  uint64_t types;
} weir_site;
void weir_log_at(weir_site* site, const weir_arg* args, size_t count);

#define WEIR_C_TEXT_(x) #x
#define WEIR_C_TEXT(x) WEIR_C_TEXT_(x)
#ifndef WEIR_C_LOGGER
#define WEIR_C_LOGGER ""
#endif
/* weir_log(level, message, arguments ...): message is a string literal; {name} in it is replaced by that
 * argument where the record is shown. */
#define WEIR_C_FIRST(first, ...) first
#define WEIR_C_REST(first, ...) __VA_ARGS__
#define weir_log(level, ...)                                                                              \
  do {                                                                                                    \
    static weir_site weir_site_ = {                                                                       \
        "" WEIR_C_FIRST(__VA_ARGS__, 0), WEIR_C_LOGGER, __FILE__ ":" WEIR_C_TEXT(__LINE__), level, 0, 0}; \
    const weir_arg weir_args_[] = {WEIR_C_REST(__VA_ARGS__, {0, 0, 0, {0}})};                             \
    weir_log_at(&weir_site_, weir_args_, sizeof weir_args_ / sizeof *weir_args_ - 1);                     \
  } while (0)

/* A message that is only known at run time. logger: or NULL. */
void weir_log_text(int level, const char* message, const char* logger);

/* --- spans
 * ------------------------------------------------------------------------------------------------------ */

typedef struct weir_span weir_span;
/* name and file are string literals. Ended by the thread that began it; a span within is its child. */
weir_span* weir_span_begin_at(const char* name, const char* file, int line);
#define weir_span_begin(name) weir_span_begin_at("" name, __FILE__, __LINE__)
void weir_span_set(weir_span* span, weir_arg attribute);
void weir_span_error(weir_span* span, const char* type, const char* message);
void weir_span_end(weir_span* span); /* writes it; the handle is gone */

/* --- pipeline steps
 * --------------------------------------------------------------------------------------------- */

typedef struct weir_step weir_step;
weir_step* weir_step_begin(const char* step_name);
void weir_step_trace_id(weir_step* step, const char* trace_id);
void weir_step_scenario(weir_step* step, const char* scenario);
void weir_step_index(weir_step* step, int64_t step_index);
void weir_step_line_no(weir_step* step, int64_t line_no);
/* identity, hash: or NULL */
void weir_step_msg_in(weir_step* step, const char* type_name, const char* identity, const char* hash);
void weir_step_msg_out(weir_step* step, const char* type_name, const char* identity, const char* hash);
/* The contexts around the step; or the one behind it; or only what changed (weir/step.h). */
void weir_step_ctx_before(weir_step* step, weir_arg entry);
void weir_step_ctx_after(weir_step* step, weir_arg entry);
void weir_step_ctx(weir_step* step, weir_arg entry);
void weir_step_ctx_set(weir_step* step, weir_arg entry);
void weir_step_ctx_unset(weir_step* step, const char* key);
void weir_step_set(weir_step* step, weir_arg attribute);
/* where, stack: or NULL */
void weir_step_error(weir_step* step, const char* type, const char* message, const char* where,
                     const char* stack);
void weir_step_end(weir_step* step); /* writes it; the handle is gone */

/* trace_id NULL: the thread's. */
void weir_ingress(const char* port, const char* type_name, const char* trace_id);
void weir_egress(const char* port, const char* type_name, const char* trace_id);
void weir_monitor(const char* rule, const char* severity, const char* state, double value, double threshold,
                  const char* message);

/* --- metrics: made once, never freed; name, unit and labels are string literals
 * ---------------------------------- */

typedef struct weir_counter weir_counter;
typedef struct weir_gauge weir_gauge;
typedef struct weir_histogram weir_histogram;
/* labels: up to 4 of weir_text; what else is among them is left out */
weir_counter* weir_counter_new(const char* name, const char* unit, const weir_arg* labels, size_t count);
weir_gauge* weir_gauge_new(const char* name, const char* unit, const weir_arg* labels, size_t count);
weir_histogram* weir_histogram_new(const char* name, const char* unit, const weir_arg* labels, size_t count);
void weir_counter_add(weir_counter* counter, uint64_t n);
void weir_gauge_set(weir_gauge* gauge, double value);
void weir_histogram_record(weir_histogram* histogram, double value);

/* --- what belongs together
 * --------------------------------------------------------------------------------------- */

/* This thread's records carry it from now on; NULL or empty: none. At most 128 bytes. */
void weir_correlation_set(const char* id);

typedef struct weir_context weir_context;
/* Headers by name; NULL: not there. */
typedef const char* (*weir_get_header)(void* user, const char* name);
typedef void (*weir_set_header)(void* user, const char* name, const char* value);
/* This thread goes on with the trace of a request that came in, until weir_context_end (by the same thread,
 * the newest first). */
weir_context* weir_context_begin(weir_get_header get, void* user);
void weir_context_end(weir_context* context);
/* The headers for a request that goes out. */
void weir_inject(weir_set_header set, void* user);

#ifdef __cplusplus
}
#endif
#endif
