#include "runtime/context/context.h"

// The first instruction of every green thread. Frame pointer walks and DWARF unwinders stop here: the frame pointer is
// cleared and the return address is declared undefined.
#if defined(__x86_64__)
asm(R"(
    .text
    .globl rt_context_start
    .hidden rt_context_start
    .type rt_context_start, @function
rt_context_start:
    .cfi_startproc
    .cfi_undefined rip
    xorl %ebp, %ebp
    call rt_context_entry
    ud2
    .cfi_endproc
    .size rt_context_start, . - rt_context_start
)");
#elif defined(__aarch64__)
asm(R"(
    .text
    .globl rt_context_start
    .hidden rt_context_start
    .type rt_context_start, %function
rt_context_start:
    .cfi_startproc
    .cfi_undefined x30
    mov x29, xzr
    mov x30, xzr
    bl rt_context_entry
    brk #1
    .cfi_endproc
    .size rt_context_start, . - rt_context_start
)");
#endif
