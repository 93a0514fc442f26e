/* The smallest guest that has a TPM: a boot sector that asks it, through SeaBIOS (TCG PC Client BIOS, INT 1Ah BB02h,
 * PassThroughToTPM), for its clock and for PCR 0, twice a second for ever, and writes the answers to the first serial
 * port as `clock HEX` and `pcr0 HEX`. It knows nothing of whether the TPM is a CRB or a TIS one. */
        .code16
        .set    answer, 0x8000
        .set    port, 0x3f8
        .text
        .globl  _start
_start:
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp
        cld
again:
        movw    $clock_name, %si
        movw    $clock, %di
        call    ask
        movw    $pcr_name, %si
        movw    $pcr, %di
        call    ask
        movb    $0x86, %ah              /* INT 15h AH=86h: wait, microseconds in CX:DX */
        movw    $7, %cx
        movw    $0xa120, %dx
        int     $0x15
        jmp     again

/* SI: a name; DI: an input parameter block. */
ask:
        call    say
        movw    $answer, %si
        movl    $0xbb02, %eax
        movl    $0x41504354, %ebx       /* "TCPA" */
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        int     $0x1a
        xorw    %cx, %cx
        testl   %eax, %eax
        jnz     2f                      /* an empty answer: the firmware did not pass it on */
        movw    answer, %cx             /* length of the block, its own four bytes included */
        subw    $4, %cx
        movw    $answer + 4, %si
1:      lodsb
        pushw   %ax
        shrb    $4, %al
        call    digit
        popw    %ax
        andb    $15, %al
        call    digit
        loop    1b
2:      movw    $end, %si
say:
        lodsb
        testb   %al, %al
        jz      3f
        call    put
        jmp     say
3:      ret

digit:
        cmpb    $10, %al
        jb      4f
        addb    $'a' - '0' - 10, %al
4:      addb    $'0', %al
put:
        pushw   %ax
        movw    $port + 5, %dx
5:      inb     %dx, %al
        testb   $0x20, %al
        jz      5b
        popw    %ax
        movw    $port, %dx
        outb    %al, %dx
        ret

clock_name: .asciz "clock "
pcr_name:   .asciz "pcr0 "
end:        .asciz "\n"

/* {length, 0, room for the answer, 0}, then the command. */
clock:  .word   18, 0, 256, 0
        .byte   0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x81 /* TPM2_ReadClock */
pcr:    .word   28, 0, 256, 0
        .byte   0x80, 0x01, 0, 0, 0, 20, 0, 0, 0x01, 0x7e /* TPM2_PCR_Read: SHA-256, PCR 0 */
        .byte   0, 0, 0, 1, 0, 0x0b, 3, 1, 0, 0

        .org    510
        .word   0xaa55
