# Builds wf and its tests. `make help` names the targets; all output goes under build/.
#
#   build/wf          the command, from the split tree
#   build/obj         its objects, optimised
#   build/san         the same sources and the tests, with the address and undefined-behaviour sanitizers
#   build/static      the command again, static and small, with musl
#   build/fuzz        the core, the scripts and the fuzz targets with clang's libFuzzer, and what it finds
#   build/test        what the tests run against: mbedTLS with a server side
#   build/deps        pinned sources, unpacked by .ci/deps; a .mk file there says where Lua and mbedTLS are

CC     = cc
CFLAGS = -O2 -g
PREFIX = /usr/local

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
JOBS ?= 2
MAKEFLAGS += -j$(JOBS) --no-builtin-rules

# ---- sources: the ordered list in ./amalgamate is the only one ----

PARTS  := $(shell ./amalgamate --list)
CORE   := $(filter src/core/%.c,$(PARTS))
PORT   := $(filter src/port/%.c,$(PARTS))
SCRIPT := $(filter src/script/%.c,$(PARTS))
CLI    := $(filter cli/%.c,$(PARTS))
TLS    := $(filter src/port/tls/%.c,$(PARTS))
TEXTS  := $(filter %.lua %.jsonl,$(PARTS))
GEN    := $(patsubst %,build/gen/gen_%.h,$(basename $(notdir $(TEXTS)))) build/gen/workflow.h

# Of Lua, no more than scripts may have: no io, os, package, debug, and so no linit, which would open them all.
LUA_PARTS := lapi lcode lctype ldebug ldo ldump lfunc lgc llex lmem lobject lopcodes lparser lstate lstring ltable ltm \
             lundump lvm lzio lauxlib lbaselib lcorolib lmathlib lstrlib ltablib lutf8lib
# Tests compare with stock Lua, which has all of them.
LUA_STOCK := $(LUA_PARTS) linit ldblib liolib loadlib loslib

UNIT_TESTS   := $(wildcard tests/core/*/test_*.c tests/port/test_*.c tests/port/*/test_*.c tests/script/test_*.c)
PUBLIC_TESTS := $(wildcard tests/public/test_*.c)
FAKES        := $(wildcard tests/fake/*.c)
E2E_TESTS    := $(wildcard tests/e2e/*.sh tests/e2e/*.py)
CHECKS       := $(wildcard tests/check/*.sh)

# ---- what is missing is fetched first; clean and help need nothing ----

# make reads an included file first and makes one that is missing: so the tools of every goal are
# there, or named, before anything is compiled. .ci/deps writes the .mk file besides.
GOALS   := $(or $(MAKECMDGOALS),all)
LIBS_OF := $(if $(SYSTEM),system,pinned)
DEPS_MK := build/deps/$(LIBS_OF).mk
NEEDS   := $(or $(if $(filter fuzz build/fuzz/%,$(GOALS)),fuzz), \
             $(if $(filter test test-wire test-field check crash bench build/san/% build/test/%,$(GOALS)),test), \
             $(if $(filter static build/static/%,$(GOALS)),static),build)
ifneq ($(filter-out clean help deps bare,$(GOALS)),)
$(foreach part,$(filter-out $(wildcard $(PARTS)),$(PARTS)),$(error $(part) is listed in ./amalgamate but missing))
include build/deps/$(LIBS_OF)-$(NEEDS).ok
-include $(DEPS_MK)
endif

export CC SYSTEM DEPS_DIR
Q := $(if $(V),,@)

build/deps/$(LIBS_OF)-%.ok: .ci/deps
	@.ci/deps $*
	@touch $@

# ---- flags ----

# Warnings are errors where the project is tested (.ci/run, make check), not where it is used: a newer
# compiler may know warnings that this tree has not met.
check: WERROR = -Werror
WARNINGS := -Wall -Wextra -Wpedantic -Wconversion -Wshadow
WARN      = -std=c11 $(WARNINGS) $(WERROR)
# The same bytes wherever the tree lies; nothing dated.
HARD  := -fstack-protector-strong -ffile-prefix-map="$$PWD"=.
SAN   := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
# gcc says of itself that this warning errs under its sanitizers.
NOISE := $(if $(findstring clang,$(CC)),,-Wno-maybe-uninitialized)
# A fixed seed makes the order inside Lua's tables the same in every run.
LUA_FLAGS := -std=c99 -Wall -D'luai_makeseed(L)=0x77666cu'
LIBS  := -lm -pthread

ifdef LUA_DIR
LUA_CFLAGS := -isystem $(LUA_DIR)/src
LUA_OBJ    := $(LUA_PARTS:%=build/obj/lua/%.o)
LUA_SAN    := $(LUA_STOCK:%=build/san/lua/%.o)
LUA_A      := build/liblua.a
LUA_SAN_A  := build/san/liblua.a
LUA_LIBS    = $(LUA_A)
endif

# mbedTLS is built from our own configuration: the product's, and the tests', which has a server side too.
ifdef MBEDTLS_DIR
MBEDTLS_SRC    := $(sort $(wildcard $(MBEDTLS_DIR)/library/*.c))
MBEDTLS_PARTS  := $(MBEDTLS_SRC:$(MBEDTLS_DIR)/library/%.c=%)
MBEDTLS_CFLAGS := -isystem $(MBEDTLS_DIR)/include -iquote . -DMBEDTLS_CONFIG_FILE="src/port/tls/mbedtls_config.h"
# Three parts are ours.
MBEDTLS_MINE   := $(filter-out ssl_tls12_client ecp,$(MBEDTLS_PARTS)) mbedtls_random mbedtls_tls12 mbedtls_x25519
# Those include parts of the library, and of what comes with it.
EVEREST        := $(MBEDTLS_DIR)/3rdparty/everest
MBEDTLS_INNER  := -I$(MBEDTLS_DIR)/library $(addprefix -isystem $(EVEREST)/,include include/everest include/everest/kremlib library)
MBEDTLS_OBJ    := $(MBEDTLS_MINE:%=build/obj/mbedtls/%.o)
MBEDTLS_SAN    := $(MBEDTLS_MINE:%=build/san/mbedtls/%.o)
MBEDTLS_A      := build/libmbedtls.a
MBEDTLS_SAN_A  := build/san/libmbedtls.a
MBEDTLS_LIBS    = $(MBEDTLS_A)
endif
MBEDTLS_TEST_CFLAGS := $(subst src/port/tls/mbedtls_config.h,tests/server/mbedtls_test_config.h,$(MBEDTLS_CFLAGS))

# What the hosted parts ask of the system's headers, for the split tree; amalgamate's head has it for workflow.h. The core
# includes none of them.
HOSTED  := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64
INC     := $(HOSTED) -Ibuild/gen $(LUA_CFLAGS) $(MBEDTLS_CFLAGS)
# For a shell to read: the name of the configuration is in quotes.
shell_words = $(subst ",\",$(1))
# Tests may look inside, by paths from the root.
TEST_INC := -iquote .
COMPILE  = $(CC) $(WARN) $(HARD) $(call shell_words,$(INC)) -MMD -MP -c -o $@ $<

# ---- the library and the command, from the split tree ----

LIB_SRC := $(CORE) $(PORT) $(SCRIPT)
WF      := $(if $(CLI),build/wf)

all: build/libworkflow.a $(WF)

build/wf: $(CLI:%.c=build/obj/%.o) build/libworkflow.a $(LUA_A) $(MBEDTLS_A)
	@echo '  $@'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) build/libworkflow.a $(LUA_LIBS) $(MBEDTLS_LIBS) $(LIBS)

build/libworkflow.a: $(LIB_SRC:%.c=build/obj/%.o)
build/san/libfake.a: $(FAKES:%.c=build/san/%.o)
build/liblua.a: $(LUA_OBJ)
build/san/liblua.a: $(LUA_SAN)
build/libmbedtls.a: $(MBEDTLS_OBJ)
build/san/libmbedtls.a: $(MBEDTLS_SAN)
build/test/libmbedtls.a: $(MBEDTLS_PARTS:%=build/test/mbedtls/%.o)
%.a:
	@mkdir -p $(@D) && rm -f $@
	@echo '  $@'
	$(Q)$(AR) rcs $@ $^

build/obj/%.o: %.c | $(GEN)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(COMPILE) $(CFLAGS)

build/san/%.o: %.c | $(GEN)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(COMPILE) $(SAN) $(NOISE)

build/obj/lua/%.o: $(LUA_DIR)/src/%.c $(DEPS_MK)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(CC) $(LUA_FLAGS) $(HARD) $(CFLAGS) -c -o $@ $<

# With Lua's own checks of how its API is called.
build/san/lua/%.o: $(LUA_DIR)/src/%.c $(DEPS_MK)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(CC) $(LUA_FLAGS) $(HARD) $(SAN) -DLUA_USE_APICHECK -c -o $@ $<

MBEDTLS_CC = $(CC) -std=c99 -Wall $(HARD) $(call shell_words,$(MBEDTLS_CFLAGS)) $(MBEDTLS_INNER) -MMD -MP -c -o $@ $<

build/obj/mbedtls/%.o: $(MBEDTLS_DIR)/library/%.c src/port/tls/mbedtls_config.h $(DEPS_MK)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(MBEDTLS_CC) $(CFLAGS)

# It copies no bytes from no address, which every system allows and the standard does not.
build/san/mbedtls/%.o: $(MBEDTLS_DIR)/library/%.c src/port/tls/mbedtls_config.h $(DEPS_MK)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(MBEDTLS_CC) $(SAN) -fno-sanitize=nonnull-attribute

# The library as the tests' servers and their makers of certificates have it. It is not the subject: no sanitizers.
build/test/mbedtls/%.o: $(MBEDTLS_DIR)/library/%.c src/port/tls/mbedtls_config.h tests/server/mbedtls_test_config.h $(DEPS_MK)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(subst src/port/tls/mbedtls_config.h,tests/server/mbedtls_test_config.h,$(MBEDTLS_CC)) -O2 -g

# Programs that tests talk to, with that library.
build/test/%.o: tests/%.c $(DEPS_MK)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(CC) $(WARN) $(HARD) $(HOSTED) -iquote tests/server $(call shell_words,$(MBEDTLS_TEST_CFLAGS)) -O2 -g -MMD -MP -c -o $@ $<

build/test/tls_peer: build/test/server/tls_peer.o build/test/server/certs.o build/test/libmbedtls.a
	@echo '  $@'
	$(Q)$(CC) -o $@ $^

build/san/tests/port/tls/test_tls: | build/test/tls_peer

build/obj/mbedtls/%.o: src/port/tls/%.c src/port/tls/mbedtls_config.h $(DEPS_MK)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(MBEDTLS_CC) $(CFLAGS)

build/san/mbedtls/%.o: src/port/tls/%.c src/port/tls/mbedtls_config.h $(DEPS_MK)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(MBEDTLS_CC) $(SAN)

$(foreach kind,obj san static,$(TLS:%.c=build/$(kind)/%.o)): src/port/tls/mbedtls_config.h

# The tests' server; never installed.
SERVER := $(addprefix srv_,main conn timers exchange proxy reply message scenario text tls) certs

build/test/wf-server: $(SERVER:%=build/test/server/%.o) $(if $(MBEDTLS_DIR),build/test/libmbedtls.a)
	@echo '  $@'
	$(Q)$(CC) -g -o $@ $(filter %.o,$^) $(if $(MBEDTLS_DIR),build/test/libmbedtls.a,$(MBEDTLS_LIBS)) $(LIBS)

build/test/server/%.o: tests/server/%.c $(DEPS_MK)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(CC) $(WARN) $(HARD) $(call shell_words,$(MBEDTLS_TEST_CFLAGS)) $(HOSTED) -O2 -g -MMD -MP -c -o $@ $<

# ---- the static command: the same sources and pinned libraries with musl, for size ----

# A system of musl has it in its own compiler; elsewhere Debian's musl-tools brings musl-gcc, without the kernel's headers,
# which are lent to it by links.
MUSL      := $(if $(findstring musl,$(shell $(CC) -dumpmachine 2>/dev/null)),$(CC),musl-gcc)
ARCH_DIR  := /usr/include/$(shell $(CC) -print-multiarch 2>/dev/null)
# Of mbedTLS, no tables and no unrolled loops that only save a moment in a handshake.
SMALL     := -Os -flto=auto -DMBEDTLS_ECP_FIXED_POINT_OPTIM=0 -DMBEDTLS_SHA256_SMALLER -DMBEDTLS_SHA512_SMALLER -fno-pie -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-unwind-tables
STATIC_CC  = $(MUSL) $(HARD) $(SMALL) -isystem build/static/include -MMD -MP -c -o $@ $<
STATIC_OBJ = $(LIB_SRC:%.c=build/static/%.o) $(CLI:%.c=build/static/%.o) $(LUA_PARTS:%=build/static/lua/%.o) \
             $(MBEDTLS_MINE:%=build/static/mbedtls/%.o)

static: build/static/wf

build/static/wf: $(STATIC_OBJ)
	@echo '  $@'
	$(Q)$(MUSL) -Os -flto=auto -static -no-pie -s -Wl,--gc-sections,-z,noseparate-code,--build-id=none,-Map=build/static/wf.map -o $@ $^ $(LIBS)

build/static/include:
	@mkdir -p $@
	$(Q)ln -sfn /usr/include/linux $@/linux && ln -sfn /usr/include/asm-generic $@/asm-generic
	$(Q)ln -sfn $(firstword $(wildcard $(ARCH_DIR)/asm /usr/include/asm) /usr/include/asm) $@/asm

build/static/lua/%.o: $(LUA_DIR)/src/%.c $(DEPS_MK) | build/static/include
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(STATIC_CC) $(LUA_FLAGS)

build/static/mbedtls/%.o: $(MBEDTLS_DIR)/library/%.c src/port/tls/mbedtls_config.h $(DEPS_MK) | build/static/include
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(STATIC_CC) -std=c99 -Wall $(call shell_words,$(MBEDTLS_CFLAGS))

build/static/mbedtls/%.o: src/port/tls/%.c src/port/tls/mbedtls_config.h $(DEPS_MK) | build/static/include
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(STATIC_CC) -std=c99 -Wall $(call shell_words,$(MBEDTLS_CFLAGS)) $(MBEDTLS_INNER)

build/static/%.o: %.c | $(GEN) build/static/include
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(STATIC_CC) $(WARN) $(call shell_words,$(INC))

.SECONDARY: $(GEN)

define write_text
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)./amalgamate --text $< wfi_$* >$@
endef
build/gen/gen_%.h: src/script/%.lua amalgamate
	$(write_text)
build/gen/gen_%.h: src/core/model/%.jsonl amalgamate
	$(write_text)

# What the tests use. The committed workflow.h is written by ./amalgamate alone; `make check` compares.
build/gen/workflow.h: amalgamate $(filter src/%,$(PARTS))
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)./amalgamate --print >$@

# ---- tests: the split tree's units; the public tests on the split tree and on workflow.h; the command ----

# With sanitizers each folder of src is a library of its own, and a test links those that its folder stands on: so one test
# of the core builds neither Lua nor mbedTLS, nor the parts above it.
FOLDERS := $(filter-out src/api,$(shell ./amalgamate --folders | awk '$$1 ~ /^src/ { print $$1 }'))
inside   = $(foreach part,$(filter $(1)/%.c,$(PARTS)),$(if $(filter $(1)/,$(dir $(part))),$(part)))
define folder_library
build/san/$(1).a: $(patsubst %.c,build/san/%.o,$(call inside,$(1)))
stand_on_$(1) := $(patsubst %,build/san/%.a,$(filter-out src/api,$(shell ./amalgamate --needs | grep '^$(1) ')))
endef
$(foreach folder,$(FOLDERS),$(eval $(call folder_library,$(folder))))
# From the top down: a linker looks for what a library lacks only in those behind it.
SAN_ALL := $(patsubst %,build/san/%.a,$(shell ./amalgamate --folders | awk '$$1 ~ /^src/ && $$1 != "src/api" { all = $$1 " " all } END { print all }'))

# build/san/tests/port/net/test_sockets: its folder is src/port/net. Tests of the codecs run whole agents, those of the port are
# over all of it.
folder_of    = $(patsubst tests/%,src/%,$(patsubst %/,%,$(dir $(1))))
libraries_of = $(if $(filter tests/core/model/%,$(1)),$(stand_on_src/core/run), \
               $(if $(filter tests/core/%,$(1)),$(stand_on_$(call folder_of,$(1))), \
               $(if $(filter tests/port/tls/%,$(1)),$(filter $(stand_on_src/port) $(stand_on_src/port/tls),$(SAN_ALL)) $(MBEDTLS_SAN_A), \
               $(if $(filter-out src/port,$(call folder_of,$(filter tests/port/%,$(1)))),$(stand_on_src/port), \
               $(SAN_ALL) $(LUA_SAN_A) $(MBEDTLS_SAN_A)))))

WIRE_TEST   := tests/wire/wire_run.c
UNIT_BIN    := $(UNIT_TESTS:%.c=build/san/%)
SPLIT_BIN   := $(PUBLIC_TESTS:%.c=build/san/%)
PRODUCT_BIN := $(PUBLIC_TESTS:%.c=build/san/%.product)
WIRE_BIN    := $(WIRE_TEST:%.c=build/san/%)
FUZZ_TEST   := tests/fuzz/test_corpus.c
FUZZ_BIN    := $(FUZZ_TEST:%.c=build/san/%)
TEST_BIN    := $(UNIT_BIN) $(SPLIT_BIN) $(PRODUCT_BIN) $(WIRE_BIN) $(FUZZ_BIN)
FAKE_A      := $(if $(FAKES),build/san/libfake.a)
LINK_TEST    = $(CC) $(SAN) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(if $(LUA_SAN_A),,$(LUA_LIBS)) $(if $(MBEDTLS_SAN_A),,$(MBEDTLS_LIBS)) -lcmocka $(LIBS)

.SECONDEXPANSION:
$(UNIT_BIN) $(SPLIT_BIN): build/san/%: build/san/%.o $(FAKE_A) $$(call libraries_of,$$*)
	@echo '  $@'
	$(Q)$(LINK_TEST)

$(PRODUCT_BIN): build/san/%.product: build/san/%.o build/san/tests/amalg/impl.o $(FAKE_A) $(LUA_SAN_A) $(MBEDTLS_SAN_A)
	@echo '  $@'
	$(Q)$(LINK_TEST)

# The wire's cases, played against the client and the codec.
$(WIRE_BIN): $(patsubst %.c,build/san/%.o,$(wildcard tests/wire/*.c)) $(FAKE_A) $(stand_on_src/core/run)
	@echo '  $@'
	$(Q)$(CC) $(SAN) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

MATCHER := $(addprefix src/port/tools/,match.c fold.c encoding.c)

# All fuzz targets, on their corpora: they feed the core, the scripts, and of the port the matchers alone.
$(FUZZ_BIN): $(patsubst %.c,build/san/%.o,$(wildcard tests/fuzz/*.c)) $(FAKE_A) $(stand_on_src/script) \
             $(MATCHER:%.c=build/san/%.o) $(LUA_SAN_A)
	@echo '  $@'
	$(Q)$(LINK_TEST)

build/san/tests/%.o: tests/%.c | $(GEN)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(COMPILE) $(TEST_INC) $(SAN) $(NOISE)

# For the checks that compile by themselves.
export WARN WARNINGS WERROR INC

# T names some of them: a folder (core/run), a test (core/run/test_sched, sched, tools.py).
TESTS  := $(UNIT_TESTS) $(PUBLIC_TESTS) $(WIRE_TEST) $(FUZZ_TEST) $(E2E_TESTS) $(CHECKS)
named   = $(foreach test,$(1),$(if $(filter $(T) $(T)/% %/$(T) %/test_$(T), \
                                  $(test:tests/%=%) $(basename $(test:tests/%=%))),$(test)))
no_test = $(error T=$(T): no test or folder of tests has this name; see tests/)
CHOSEN := $(if $(filter-out fuzz,$(GOALS)),$(if $(T),$(or $(strip $(call named,$(TESTS))),$(no_test)),$(TESTS)))
CHOSEN_BIN   := $(patsubst %.c,build/san/%,$(filter %.c,$(CHOSEN))) \
                $(patsubst %.c,build/san/%.product,$(filter $(PUBLIC_TESTS),$(CHOSEN)))
CHOSEN_WHOLE := $(filter $(E2E_TESTS) $(CHECKS),$(CHOSEN))
WHOLE        := all build/test/wf-server build/test/bench/launch build/test/soak

test: $(CHOSEN_BIN) $(if $(CHOSEN_WHOLE),$(WHOLE))
	@tests/run -j $(JOBS) $(CHOSEN_BIN) $(CHOSEN_WHOLE)

test-wire: $(WIRE_BIN)
	@$(WIRE_BIN) $(or $(WIRE),tests/wire)

check: all
	@tests/run -l -j $(JOBS) $(CHECKS)

# The random workflows a second time without sanitizers: many more of them in the same time.
crash: $(WHOLE) $(TEST_BIN) build/test/campaign
	@WF_CAMPAIGN=full TEST_TIMEOUT=7200 tests/run $(TEST_BIN) build/test/campaign $(E2E_TESTS)

build/obj/tests/%.o: INC += $(TEST_INC)
build/test/campaign: build/obj/tests/script/test_campaign.o $(FAKES:%.c=build/obj/%.o) build/libworkflow.a $(LUA_A)
	@echo '  $@'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) build/libworkflow.a $(LUA_LIBS) -lcmocka $(LIBS)

# ---- fuzzing: the same targets as in tests/fuzz/test_corpus.c, each with libFuzzer in a program of its own ----

FUZZ_NAMES  := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_CHOSEN := $(if $(filter fuzz,$(GOALS)),$(if $(T),$(or $(filter $(T),$(FUZZ_NAMES)), \
                 $(error T=$(T): no fuzz target has this name; there are: $(FUZZ_NAMES)))))
FUZZ_FLAGS  := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_CC      = clang $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(HARD) -MMD -MP -c -o $@ $<
FUZZ_SRC    := $(CORE) $(SCRIPT) $(MATCHER) $(FAKES)
FUZZ_LUA    := $(if $(LUA_DIR),$(LUA_STOCK:%=build/fuzz/lua/%.o))

fuzz: $(FUZZ_CHOSEN:%=build/fuzz/fuzz_%)
ifdef T
	@mkdir -p build/fuzz/$(T)
	@$< -artifact_prefix=build/fuzz/$(T). -timeout=25 $(if $(INPUT),$(INPUT),-max_total_time=$(or $(SECONDS),60) \
	    $(patsubst %,-dict=%,$(wildcard tests/fuzz/$(T).dict))) $(if $(INPUT),,build/fuzz/$(T) tests/fuzz/corpus/$(T))
else
	@echo 'make fuzz T=NAME: $(FUZZ_NAMES). SECONDS=60; INPUT=FILE: that input alone.'
endif

build/fuzz/libparts.a: $(FUZZ_SRC:%.c=build/fuzz/obj/%.o) $(FUZZ_LUA)

build/fuzz/fuzz_%: build/fuzz/obj/tests/fuzz/fuzz_%.o build/fuzz/libparts.a
	@echo '  $@'
	$(Q)clang $(FUZZ_FLAGS) -fsanitize=fuzzer -Wl,--defsym=LLVMFuzzerTestOneInput=fuzz_$* -o $@ $^ \
	    $(if $(FUZZ_LUA),,$(LUA_LIBS)) -lcmocka $(LIBS)

build/fuzz/obj/%.o: %.c | $(GEN)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(FUZZ_CC) $(WARN) $(call shell_words,$(INC)) $(TEST_INC)

build/fuzz/lua/%.o: $(LUA_DIR)/src/%.c $(DEPS_MK)
	@mkdir -p $(@D)
	@echo '  $@'
	$(Q)$(FUZZ_CC) $(LUA_FLAGS) -DLUA_USE_APICHECK

.SECONDARY: $(FUZZ_NAMES:%=build/fuzz/obj/tests/fuzz/fuzz_%.o)

# ---- the other programs of tests ----

build/test/bench/launch: build/test/bench/launch.o
	@echo '  $@'
	$(Q)$(CC) -o $@ $^

# The program of the soak has the library in it as users have it, without sanitizers.
build/test/soak: build/obj/tests/soak/soak.o build/libworkflow.a $(LUA_A) $(MBEDTLS_A)
	@echo '  $@'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) build/libworkflow.a $(LUA_LIBS) $(MBEDTLS_LIBS) $(LIBS)

soak: build/test/soak build/test/wf-server
	@python3 tests/soak/soak.py $(or $(SECONDS),600)

# Real gateways and toolchains, from the system's packages. T=toolchains: these alone.
test-field: all build/test/wf-server
	@case '$(T)' in toolchains*) ;; *) python3 tests/field/field.py $(T);; esac
	@case '$(T)' in ''|toolchains*) python3 tests/field/toolchains.py $(filter-out toolchains,$(T));; esac

bench: all build/test/wf-server build/test/bench/launch
	@$(MAKE) --no-print-directory static || echo 'bench: the static command cannot be built here; its row stays empty'
	@python3 tests/bench/bench.py

# ---- the rest ----

run: all
	build/wf run examples/audit/audit.lua --model rules:examples/audit/model.lua --yes --root . -- dir=src,cli

deps:
	@.ci/deps test

bare:
	@.ci/bare '$(RELEASE)' $(KINDS)

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include
	install -m 755 build/wf $(DESTDIR)$(PREFIX)/bin/wf
	install -m 644 workflow.h $(DESTDIR)$(PREFIX)/include/workflow.h

clean:
	rm -rf build

help:
	@echo 'make            build build/wf'
	@echo 'make static     build/static/wf: one file that needs nothing else, with musl'
	@echo 'make run        build it and audit this project with it, offline'
	@echo 'make test       every test and check; the last line counts them. T=NAME: one test, or a folder of tests:'
	@echo '                T=core/run T=test_sched T=tools.py T=check/style.sh'
	@echo 'make test-wire  the cases of the wire in tests/wire; WIRE=DIR: in another folder'
	@echo 'make check      the checks alone, warnings as errors: includes, workflow.h, compilers, symbols, format'
	@echo 'make crash      the tests as long campaigns: kills, power cuts, random workflows'
	@echo 'make fuzz       T=NAME: search with libFuzzer for inputs that break a promise; SECONDS=60. Without T: the names'
	@echo 'make test-field behind nginx, haproxy, Caddy and squid, and with toolchains in the jail; it installs them; T=nginx: one'
	@echo 'make soak       a long run with many kinds of faults, 1,000 lanes; SECONDS=600; fails if anything grows'
	@echo 'make bench      speed, memory and log size, as users see them'
	@echo 'make deps       get what is missing: tools, pinned sources'
	@echo 'make bare       RELEASE=trixie: make run and make test in a bare Debian, as root and as a user; needs root'
	@echo 'make install    into PREFIX=/usr/local (DESTDIR is heeded)'
	@echo 'make clean      remove build/'
	@echo
	@echo 'CC, CFLAGS, LDFLAGS as usual. SYSTEM=1: the system'"'"'s Lua and mbedTLS. DEPS_DIR=DIR: where the pinned tarballs lie.'
	@echo 'WERROR=-Werror: warnings are errors, as in make check and .ci/run.'
	@echo 'V=1: print the commands.'

.PHONY: all static run test test-wire test-field check crash fuzz soak bench deps bare install clean help

-include $(shell find build/obj build/san build/fuzz build/test build/static -name '*.d' 2>/dev/null)
