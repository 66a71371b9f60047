// A C++17 program over workflow.h: the implementation is in impl.c, a second user of the header in user.c. Prints ok.
#include "workflow.h"

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

extern "C" int user_schema_example(char *out, size_t cap);

static std::string member(wf_str object, wf_str key) {
    wf_str value;
    if (!wf_json_member(object, key, &value)) return "?";
    return std::string(value.ptr, value.len);
}

int main() {
    char example[64];
    int n = user_schema_example(example, sizeof example);
    wf_str object = wf_str_of(example, static_cast<size_t>(n));
    bool good = n > 0 && member(object, WF_STR("n")) != "?" && member(object, WF_STR("m")) == "?";

    wf_posix_config files = {};
    wf_error error = {};
    wf_posix *posix = nullptr;
    std::vector<char> block(wf_posix_size(&files));
    good = good && wf_posix_open(&posix, block.data(), block.size(), &files, &error) == WF_OK;
    if (!good) return 1;

    wf_platform platform;
    wf_posix_platform(posix, &platform);
    wf_config config = {};
    config.platform = &platform;
    config.lanes = 1;
    config.max_agents = 4;
    std::vector<char> memory(wf_memory_needed(&config));
    wf *w = nullptr;
    wf_run_spec spec = {};
    good = wf_init(&w, memory.data(), memory.size(), &config, &error) == WF_OK;
    wf_status s = WF_E_INTERNAL;
    while (good && (s = wf_run_open(w, &spec)) == WF_AGAIN)
        wf_posix_wait(posix, UINT32_MAX);
    wf_delivery delivery;
    good = s == WF_OK && wf_deliver(w, &delivery) == WF_END && std::strcmp(wf_status_name(s), "WF_OK") == 0;
    if (w != nullptr) wf_close(w);
    wf_posix_close(posix);
    std::puts(good ? "ok" : "not ok");
    return good ? 0 : 1;
}
