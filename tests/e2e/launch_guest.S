/* A guest that says what it was started with: its command line, then its first module, on the first serial port; and
 * then waits. By the Multiboot standard, so that QEMU's -kernel, -initrd and -append start it. */
        .set FLAGS, 2                   /* memory facts, for loaders that insist */
        .set MAGIC, 0x1badb002

        .section .multiboot, "a"
        .align 4
        .long MAGIC, FLAGS, -(MAGIC + FLAGS)

        .text
        .globl _start
_start:
        mov $stack, %esp
        mov %ebx, %ebp                  /* what the loader tells */
        mov 16(%ebp), %esi              /* the command line, ended by zero */
1:      lodsb
        test %al, %al
        jz 2f
        call put
        jmp 1b
2:      mov $'\n', %al
        call put
        cmpl $0, 20(%ebp)               /* modules */
        je 4f
        mov 24(%ebp), %eax
        mov (%eax), %esi                /* the first: its begin and end */
        mov 4(%eax), %edi
3:      cmp %edi, %esi
        jae 4f
        lodsb
        call put
        jmp 3b
4:      mov $'\n', %al
        call put
5:      hlt
        jmp 5b

put:    mov %al, %ah
        mov $0x3fd, %dx
6:      in %dx, %al
        test $0x20, %al
        jz 6b
        mov $0x3f8, %dx
        mov %ah, %al
        out %al, %dx
        ret

        .bss
        .skip 256
stack:
        .section .note.GNU-stack, "", @progbits
