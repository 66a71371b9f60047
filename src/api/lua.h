/* lua: scripts and models in Lua. Opt-in: define WF_PORT_LUA before including. */
#ifndef WF_LUA_H
#define WF_LUA_H

#include "core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- scripts in Lua (part WF_PORT_LUA) -------------------------------------------------------------------------- */

/* A workflow script over an open run. It is stepped next to wf_step and never blocks:
 *
 *     while ((s = wf_script_step(script)) != WF_END) {
 *         if (wf_step(w, 64, &wait_ms) < 0) ...the run cannot go on...
 *         if (s == WF_AGAIN && wait_ms > 0) ...sleep until something is ready, at most wait_ms...
 *     }
 *     wf_script_result_get(script, &result);
 *     wf_run_finish(w, result.failed ? WF_RUN_FAILED : WF_RUN_DONE, result.value, result.json, result.dropped,
 *                   result.rejected, result.script_errors); */
typedef struct wf_script wf_script;

typedef struct wf_script_config {
    wf *run;       /* open; outlives the script */
    wf_str source; /* Lua text; outlives the script */
    wf_str name;   /* the file's name, for messages */
    wf_str args;   /* JSON; empty: null */
    wf_heap *heap; /* all that the script may use; outlives it. NULL: it is in memory */
    void *memory;
    size_t memory_size; /* at least 256 KiB */
    uint64_t max_ms;    /* of work between two results before the script counts as endless; default 30000 */
    bool exec;          /* it may run commands: exec(). Whether the platform does the effect is another matter */
} wf_script_config;

typedef struct wf_script_result {
    bool failed;
    wf_str value; /* text, or JSON if json; of a failed script: the error with file, line and traceback */
    bool json;
    uint32_t dropped;       /* branches that dropped out on purpose */
    uint32_t rejected;      /* agents whose last answer a `check` rejected */
    uint32_t script_errors; /* branches that a mistake of the script ended; each was noted (WF_NOTE_ERROR) */
    wf_kind kind;           /* of a failure that the script passed on; none: the error is its own */
    uint32_t call;          /* that failed; 0: several, or a stop of the run */
} wf_script_result;

/* WF_E_MEMORY: the memory is too small. A script that does not compile is opened, and fails at its first step. */
wf_status wf_script_open(wf_script **out, const wf_script_config *config);
/* WF_OK: it is busy, do not sleep; WF_AGAIN: it waits for a delivery; WF_END: it has ended; < 0: the run cannot go on.
 * WF_E_MEMORY: its memory, or the run's for what it asked, ran out. Nothing was lost: stop the run as paused, and resume
 * the log with more memory; the result will be that of a run that had it from the start. */
wf_status wf_script_step(wf_script *script);
/* After WF_END; lives as long as the script's memory. */
void wf_script_result_get(const wf_script *script, wf_script_result *out);
/* The script's `meta` as JSON, as soon as it is set (in the middle of the run too); false: not yet. */
bool wf_script_meta(wf_script *script, wf_str *json);
/* What the script has dropped counts as used until it is collected, which happens now and then, and here at once. */
void wf_script_memory(const wf_script *script, wf_heap_use *out);
void wf_script_collect(wf_script *script);
/* Whether a text is a program at all; if not, error (lives in buf) names file and line and shows the line. Nothing is run. */
wf_status wf_script_compile(wf_str source, wf_str name, void *memory, size_t size, char *buf, size_t cap);

/* Models written in Lua: `rules:FILE.lua`. Serves provider name "rules" with wf_rules_ops and a wf_rules as its ctx. The file
 * returns function(request), a pure function of the request; `wf help run` describes it. Each file
 * has its own Lua state and heap. */
typedef struct wf_rules wf_rules;

typedef struct wf_rules_config {
    uint64_t (*now_ms)(void *ctx); /* the platform's clock, for delays */
    void *ctx;
    uint32_t lanes; /* as in the wf's config */
    wf_heap *heap;  /* of at most 4 files together; outlives it. NULL: it is in memory */
    void *memory;
    size_t memory_size; /* at least 1 MiB; 16 MiB is comfortable */
    uint64_t max_ms;    /* of work for one request; default 10000 */
    /* Reads a file that an agent names and wf_rules_load did not, of which buf takes the first `size` bytes; not WF_OK: *why, a
     * constant, says why it cannot be had. Scripts name such files, so it should read in the workspace alone, see
     * wf_posix_read. NULL: any file is read. */
    wf_status (*read)(void *read_ctx, wf_str path, char *buf, size_t size, size_t *len, const char **why);
    void *read_ctx;
    /* Takes a line that a model prints, for people who look for a mistake in it; lives during the call. NULL: nobody does. */
    void (*print)(void *print_ctx, wf_str line);
    void *print_ctx;
} wf_rules_config;

wf_status wf_rules_open(wf_rules **out, const wf_rules_config *config);
/* Loads FILE.lua beforehand, wherever it lies, to find mistakes early. Not WF_OK: *why (lives as long as the rules) names the mistake. */
wf_status wf_rules_load(wf_rules *rules, wf_str file, wf_str *why);
const wf_model_ops *wf_rules_ops(void);
void wf_rules_memory(const wf_rules *rules, wf_heap_use *out); /* of all files; as wf_script_memory */
void wf_rules_collect(wf_rules *rules);
void wf_rules_close(wf_rules *rules);

#ifdef __cplusplus
}
#endif

#endif
