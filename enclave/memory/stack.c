/* Onto another stack and back. */
#include "memory_internal.h"

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl memory_on_stack\n.hidden memory_on_stack\n.type memory_on_stack,@function\n"
        "memory_on_stack:\n"
        "  push %rbp\n  mov %rsp, %rbp\n"
        "  mov %rdi, %rax\n  mov %rsi, %rdi\n"
        "  mov %rdx, %rsp\n"
        "  call *%rax\n"
        "  mov %rbp, %rsp\n  pop %rbp\n  ret\n"
        ".previous\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl memory_on_stack\n.hidden memory_on_stack\n.type memory_on_stack,%function\n"
        "memory_on_stack:\n"
        "  stp x29, x30, [sp, #-16]!\n  mov x29, sp\n"
        "  mov x9, x0\n  mov x0, x1\n"
        "  mov sp, x2\n"
        "  blr x9\n"
        "  mov sp, x29\n  ldp x29, x30, [sp], #16\n  ret\n"
        ".previous\n");
#endif
