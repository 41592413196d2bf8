// Has the note, but not the symbol that leads to its entries.
#include <rt/rt.h>

extern "C" {
extern const rt::plugin_abi::note rt_plugin_note __attribute__((visibility("hidden")));
__attribute__((section(".note.rtd"), used, aligned(4))) constexpr rt::plugin_abi::note rt_plugin_note =
    rt::plugin_abi::make_note("test-no-descriptor", "0.1.0", "Hides its descriptor");
}
