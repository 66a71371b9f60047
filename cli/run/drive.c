/* drive: see drive.h. */
#include "drive.h"
#include "../base/logs.h"
#include "consent.h"
#include "status.h"
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DRIVE_WORK 256u /* pieces of work in a turn of the pump */
/* A signal so soon after the first is no second wish: timeout(1) sends one to the process and one to its group. */
#define DRIVE_ECHO_MS 200

/* A handler can be reached by nothing but what is static. */
static volatile sig_atomic_t drive_signals;
static volatile sig_atomic_t drive_hangups; /* the first one was SIGHUP */
static wf_posix *volatile drive_posix;
static struct timespec drive_first; /* when the first signal came; the handler's own */

static const int drive_caught[] = {SIGINT, SIGTERM, SIGHUP};

/* Nobody sends a second SIGHUP as a second wish: shell and kernel both tell that the terminal is gone. */
static void drive_on_signal(int number) {
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (drive_signals > 0) {
        if (number == SIGHUP) return;
        long long ms = (now.tv_sec - drive_first.tv_sec) * 1000LL + (now.tv_nsec - drive_first.tv_nsec) / 1000000;
        if (ms < DRIVE_ECHO_MS) return;
        cli_status_wipe();
        _exit(CLI_CANCELLED);
    }
    drive_first = now;
    drive_hangups = number == SIGHUP;
    drive_signals = 1;
    if (drive_posix) wf_posix_wake(drive_posix);
}

static void drive_catch(wf_posix *posix) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof drive_caught / sizeof *drive_caught; i++)
        sigaddset(&action.sa_mask, drive_caught[i]);
    action.sa_handler = drive_on_signal;
    drive_signals = drive_hangups = 0;
    drive_posix = posix;
    for (size_t i = 0; i < sizeof drive_caught / sizeof *drive_caught; i++) {
        struct sigaction old;
        if (sigaction(drive_caught[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) /* nohup's, say */
            sigaction(drive_caught[i], &action, NULL);
    }
}

/* Once a signal has come the handler stays: its echo must not end us while we say how the run ended. */
static void drive_let_go(void) {
    drive_posix = NULL;
    if (drive_signals > 0) return;
    for (size_t i = 0; i < sizeof drive_caught / sizeof *drive_caught; i++) {
        struct sigaction now;
        if (sigaction(drive_caught[i], NULL, &now) == 0 && now.sa_handler == drive_on_signal)
            signal(drive_caught[i], SIG_DFL);
    }
}

static void drive_check_stop(wf *run) {
    if (drive_signals == 0) return;
    wf_run_stop(run, WF_RUN_CANCELLED,
                drive_hangups ? WF_STR("cancelled: the terminal was closed (SIGHUP)")
                              : WF_STR("cancelled by a signal"));
}

bool cli_drive_hung_up(void) {
    return drive_hangups > 0;
}

static wf_status drive_open(cli_world *w, const wf_run_spec *spec) {
    wf_status status;
    while ((status = wf_run_open(w->run, spec)) == WF_AGAIN)
        wf_posix_wait(w->posix, 1000);
    return status;
}

/* Sleeps until there is news, or it is time to say how far the run is. */
static void drive_wait(cli_world *w, uint32_t wait_ms) {
    uint32_t tick_ms = cli_status_tick(w->run);
    if (tick_ms < wait_ms) wait_ms = tick_ms;
    if (wait_ms > 0) wf_posix_wait(w->posix, wait_ms);
}

static wf_status drive_script(cli_world *w, wf_script *script) {
    for (;;) {
        uint32_t wait_ms = 0;
        drive_check_stop(w->run);
        wf_status state = wf_script_step(script);
        if (state < 0 || state == WF_END) return state < 0 ? state : WF_OK;
        wf_status status = wf_step(w->run, DRIVE_WORK, &wait_ms);
        if (status < 0) return status;
        drive_wait(w, state == WF_AGAIN ? wait_ms : 0);
    }
}

/* Whether a paused run has something to wait for: what agents are in the middle of saying is paid for, and commands that are
 * broken off are never begun again. */
static bool drive_unfinished(cli_world *w) {
    wf_run_status run;
    wf_run_status_get(w->run, &run);
    return run.running + run.effects > 0;
}

/* Out of memory for the script: the run pauses. */
static wf_status drive_pause(cli_world *w) {
    wf_status status = WF_OK;
    char why[200];
    wf_error error;
    wf_last_error(w->run, &error);
    snprintf(why, sizeof why, "needs more memory than --memory %s: %s", w->memory,
             error.code == WF_E_MEMORY ? error.text : "the script keeps too much at a time");
    wf_run_stop(w->run, WF_RUN_PAUSED, cli_str(why));
    while (status == WF_OK && drive_unfinished(w)) {
        uint32_t wait_ms = 0;
        drive_check_stop(w->run);
        status = wf_step(w->run, DRIVE_WORK, &wait_ms);
        if (status == WF_OK) drive_wait(w, wait_ms);
    }
    return status;
}

static wf_status drive_finish(cli_world *w, const wf_script_result *result) {
    wf_outcome outcome = result->failed ? WF_RUN_FAILED : WF_RUN_DONE;
    wf_status status = wf_run_finish(w->run, outcome, result->value, result->json, result->dropped, result->rejected,
                                     result->script_errors);
    while (status == WF_OK) {
        uint32_t wait_ms = 0;
        status = wf_step(w->run, DRIVE_WORK, &wait_ms);
        if (status == WF_OK && wait_ms > 0) wf_posix_wait(w->posix, wait_ms);
    }
    return status == WF_END ? WF_OK : status;
}

/* From now on the log is one of this user's, with whatever it has in force. */
static void drive_own(cli_world *w) {
    wf_run_spec in_force;
    uint64_t started;
    if (wf_run_header(w->run, &in_force, &started) == WF_OK)
        cli_consent_add_log(w->options->text[OPT_ROOT], &in_force, started);
}

static cli_exit drive_run(cli_world *w, const wf_run_spec *spec, cli_drive_end *out) {
    if (w->log && spec->script.len > 0) cli_consent_add_place(w->options->text[OPT_ROOT], w->log, spec);
    wf_status status = drive_open(w, spec);
    cli_logs_named();
    if (status != WF_OK) return cli_world_fail(w, status);
    drive_own(w);
    cli_ask_resume(&w->effects.ask, w->run);
    wf_script_config config = {
        .run = w->run, .source = spec->script, .name = spec->name, .args = spec->args, .heap = w->script};
    config.exec = w->effects.dry || (w->options->number[OPT_ALLOW] & WF_ALLOW_EXEC) != 0;
    if (wf_script_open(&out->script, &config) != WF_OK)
        return cli_fail(CLI_USAGE, "--memory %s: too small for the script; give more", w->memory);
    status = drive_script(w, out->script);
    out->starved = status == WF_E_MEMORY;
    if (out->starved) status = drive_pause(w);
    if (status == WF_OK) {
        wf_script_result_get(out->script, &out->result);
        status = drive_finish(w, &out->result);
    }
    cli_status_end();
    if (status != WF_OK) return cli_world_fail(w, status);
    wf_run_status_get(w->run, &out->status);
    return CLI_OK;
}

cli_exit cli_drive(cli_world *w, const wf_run_spec *spec, cli_drive_end *out) {
    memset(out, 0, sizeof *out);
    drive_catch(w->posix);
    cli_exit code = drive_run(w, spec, out);
    drive_let_go();
    return code;
}

static cli_exit drive_agent(cli_world *w, const wf_agent_spec *spec, wf_delivery *out) {
    const wf_run_spec run = {.name = WF_STR("agent")};
    wf_call call;
    wf_error error;
    wf_status status = drive_open(w, &run);
    if (status == WF_OK) status = wf_agent_start(w->run, spec, &call);
    if (status == WF_E_CONFIG) {
        wf_last_error(w->run, &error);
        return cli_fail(CLI_USAGE, "the spec on standard input: %s", error.text);
    }
    while (status == WF_OK) {
        uint32_t wait_ms = 0;
        drive_check_stop(w->run);
        status = wf_deliver(w->run, out);
        if (status != WF_AGAIN) break;
        status = wf_step(w->run, DRIVE_WORK, &wait_ms);
        if (status == WF_OK && wait_ms > 0) wf_posix_wait(w->posix, wait_ms);
    }
    if (status == WF_E_STOPPED) return CLI_OK;
    return status == WF_OK ? CLI_OK : cli_world_fail(w, status);
}

cli_exit cli_drive_agent(cli_world *w, const wf_agent_spec *spec, wf_delivery *out) {
    memset(out, 0, sizeof *out);
    drive_catch(w->posix);
    cli_exit code = drive_agent(w, spec, out);
    drive_let_go();
    return code;
}
