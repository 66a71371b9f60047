/* The index over a bundle of roots: what it finds, what it passes over, and that no bytes whatever harm it. The certificate is
 * one of the tests' own: "Test root", ECDSA, valid 2020 to 2099. */
#include "src/port/tls/trust.h"
#include <mbedtls/build_info.h>
#include <mbedtls/platform.h>
#include <psa/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD "-----BEGIN CERTIFICATE-----\n"
#define TAIL "-----END CERTIFICATE-----\n"
static const char root[] = HEAD "MIIBQzCB6aADAgECAghBrU2isjVPlzAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlU\n"
                                "ZXN0IHJvb3QwIBcNMjAwMTAxMDAwMDAwWhgPMjA5OTEyMzEyMzU5NTlaMBQxEjAQ\n"
                                "BgNVBAMMCVRlc3Qgcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJbNKCS/\n"
                                "IiWdU28ae9JFUbstm0UKXJwx+KcCXX9fD/XIKdpsQme+N/vZvAe4ufYNjuvlpuR/\n"
                                "dCZwSM2sgghspVqjIzAhMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgIE\n"
                                "MAoGCCqGSM49BAMCA0kAMEYCIQCp9y1ZMJoo/pHbWlwzfvE+pfn06rtA2bEiittx\n"
                                "W5vjPwIhAOhZd5ttwDDXSxS2tZzpOQ5P6wEE2qMt0za4XsLkXdgG\n" TAIL;

static char path[] = "/tmp/wf-trust-XXXXXX";
static mbedtls_x509_crt child; /* its issuer is itself */
static char why[512];

static void put_file(const char *text, size_t n) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

/* How many roots a bundle has for the child; -1: it is refused. */
static int found_in(const char *text, size_t n) {
    wfi_trust t;
    mbedtls_x509_crt *found = NULL;
    int count = 0;
    put_file(text, n);
    if (wfi_trust_open(&t, path, why, sizeof why) != WF_OK) return -1;
    assert_int_equal(wfi_trust_find(&t, &child, &found), 0);
    for (const mbedtls_x509_crt *c = found; c != NULL; c = c->next) {
        assert_int_equal(c->subject_raw.len, child.issuer_raw.len);
        assert_memory_equal(c->subject_raw.p, child.issuer_raw.p, child.issuer_raw.len);
        count++;
    }
    bool same = count > 0 && found->raw.len == child.raw.len && memcmp(found->raw.p, child.raw.p, child.raw.len) == 0;
    if (count == 1) assert_int_equal(wfi_trust_holds(&t, &child), same);
    mbedtls_x509_crt_free(found);
    mbedtls_free(found);
    wfi_trust_close(&t);
    return count;
}

static int found_z(const char *text) {
    return found_in(text, strlen(text));
}

static void test_forms_of_a_bundle(void **state) {
    static char text[65536];
    (void)state;
    assert_int_equal(found_z(root), 1);
    snprintf(text, sizeof text, "# a comment\n\nCertificate:\n    Data: -----BEGIN CERTIFICATE-----\n%s%strailing",
             root, root);
    assert_int_equal(found_z(text), 2);
    /* Lines that end as on Windows; blanks at their ends; no end of the last one. */
    size_t n = 0;
    for (const char *p = root; *p != '\0'; p++) {
        if (*p == '\n') text[n++] = '\r';
        text[n++] = *p;
    }
    assert_int_equal(found_in(text, n), 1);
    assert_int_equal(found_in(root, sizeof root - 2), 1);
}

static void test_what_is_passed_over(void **state) {
    static char text[65536], longest[9000];
    (void)state;
    memset(longest, 'A', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    const char *const bad[] = {
        HEAD TAIL,                          /* empty */
        HEAD "!!!!\n" TAIL,                 /* no base64 */
        HEAD "AAAA\n" TAIL,                 /* no DER */
        HEAD "MIIB\n" TAIL,                 /* cut */
        HEAD "MIT/////AAAAAAAAAAAA\n" TAIL, /* lengths without end */
        HEAD "MP///////w==\n" TAIL,
        HEAD,
        TAIL,
        longest,
        HEAD HEAD TAIL,
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(text, sizeof text, "%s\n%s", bad[i], root);
        /* An open one swallows what follows it, up to the next end: it is damaged. */
        int expected = strcmp(bad[i], HEAD) == 0 ? 0 : 1;
        assert_int_equal(found_z(text), expected);
        snprintf(text, sizeof text, "%s%s\n", root, bad[i]);
        assert_int_equal(found_z(text), 1);
    }
}

static void test_refused(void **state) {
    wfi_trust t;
    (void)state;
    assert_int_equal(found_z(""), -1);
    assert_int_equal(found_z("there is nothing here\n"), -1);
    assert_int_equal(found_z("  " HEAD), -1);
    assert_non_null(strstr(why, path));
    assert_int_equal(wfi_trust_open(&t, "/", why, sizeof why), WF_E_NOT_FOUND);
    assert_non_null(strstr(why, "regular"));
}

static void test_any_byte_changed_or_cut(void **state) {
    char text[sizeof root];
    int whole = 0;
    (void)state;
    for (size_t i = 0; i < sizeof root - 1; i++)
        for (int change = 0; change < 6; change++) {
            static const char as[] = {0x01, 0x20, 0x04, '\n', '=', (char)0x80};
            memcpy(text, root, sizeof root);
            text[i] = change < 3 ? (char)(text[i] ^ as[change]) : as[change];
            whole += found_in(text, sizeof root - 1) == 1;
        }
    for (size_t n = 0; n < sizeof root - sizeof TAIL; n++)
        assert_true(found_in(root, n) <= 0);
    /* A change behind the subject is not ours to find: mbedTLS checks the rest. */
    assert_true(whole > 100);
}

/* The file may change while it is open: another one takes its name, or its bytes go. */
static void test_file_changes(void **state) {
    wfi_trust t;
    mbedtls_x509_crt *found;
    (void)state;
    put_file(root, sizeof root - 1);
    assert_int_equal(wfi_trust_open(&t, path, why, sizeof why), WF_OK);
    unlink(path);
    assert_int_equal(wfi_trust_find(&t, &child, &found), 0);
    assert_non_null(found);
    mbedtls_x509_crt_free(found);
    mbedtls_free(found);
    wfi_trust_close(&t);
    put_file(root, sizeof root - 1);
    assert_int_equal(wfi_trust_open(&t, path, why, sizeof why), WF_OK);
    assert_true(wfi_trust_holds(&t, &child));
    assert_int_equal(truncate(path, 100), 0);
    assert_int_equal(wfi_trust_find(&t, &child, &found), 0);
    assert_null(found);
    wfi_trust_close(&t);
}

static double ms_since(const struct timespec *from) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)(now.tv_sec - from->tv_sec) * 1e3 + (double)(now.tv_nsec - from->tv_nsec) / 1e6;
}

/* The system's own bundle, if it has one: each of its roots is found, and quickly. */
static void test_system_bundle(void **state) {
    wfi_trust t;
    mbedtls_x509_crt all, *found;
    struct timespec from;
    (void)state;
    if (wfi_trust_open(&t, NULL, why, sizeof why) != WF_OK) skip();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    assert_int_equal(wfi_trust_find(&t, &child, &found), 0);
    assert_null(found);
    double index = ms_since(&from);
    FILE *f = fopen(t.path, "r");
    char *text = calloc(1, 4 << 20);
    assert_true(f != NULL && text != NULL);
    size_t n = fread(text, 1, (4 << 20) - 1, f), roots = 0;
    fclose(f);
    mbedtls_x509_crt_init(&all);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    assert_true(mbedtls_x509_crt_parse(&all, (const unsigned char *)text, n + 1) >= 0);
    double parse = ms_since(&from);
    free(text);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (const mbedtls_x509_crt *c = &all; c != NULL; c = c->next, roots++) {
        assert_int_equal(wfi_trust_find(&t, c, &found), 0);
        assert_non_null(found);
        mbedtls_x509_crt_free(found);
        mbedtls_free(found);
    }
    double each = ms_since(&from) / (double)roots;
    print_message("# %zu roots: index %.2f ms, one question %.3f ms (parsing all: %.2f ms)\n", roots, index, each,
                  parse);
    assert_true(t.count >= roots);
    mbedtls_x509_crt_free(&all);
    wfi_trust_close(&t);
}

static int set_up(void **state) {
    (void)state;
    int fd = mkstemp(path);
    if (fd < 0 || psa_crypto_init() != PSA_SUCCESS) return -1;
    close(fd);
    mbedtls_x509_crt_init(&child);
    return mbedtls_x509_crt_parse(&child, (const unsigned char *)root, sizeof root);
}

static int tear_down(void **state) {
    (void)state;
    mbedtls_x509_crt_free(&child);
    mbedtls_psa_crypto_free();
    unlink(path);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_of_a_bundle), cmocka_unit_test(test_what_is_passed_over),
        cmocka_unit_test(test_refused),           cmocka_unit_test(test_any_byte_changed_or_cut),
        cmocka_unit_test(test_file_changes),      cmocka_unit_test(test_system_bundle),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
