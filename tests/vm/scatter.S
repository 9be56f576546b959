# virt-thin - the smallest guest that writes all over its disk
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A boot sector, made as counter.S is. With each timer tick (18 a second) it writes the next number,
# 32 bits, to the beginning of a sector among the first 65536, which the number chooses; sector 1
# has the last number, also of the boot before. Stopped by force only.
.intel_syntax noprefix
.code16
.globl _start

.set BUFFER, 0x8000
.set FACTOR, 40503 # odd: each sector has its turn

_start:
  xor ax, ax
  mov ds, ax
  mov ss, ax
  mov sp, 0x7c00
  mov [drive], dl
  sti
  mov ax, 1
  mov dh, 0x42
  call request
  mov ebp, [BUFFER]

tick:
  hlt
  inc ebp
  mov eax, ebp
  imul eax, eax, FACTOR
  and eax, 0xffff
  cmp ax, 2
  jb tick
  call write
  mov ax, 1
  call write
  jmp tick

# AX: sector.
write:
  mov [BUFFER], ebp
  mov dh, 0x43
request:
  mov [sector], ax
  mov ah, dh
  mov al, 0
  mov dl, [drive]
  mov si, offset packet
  int 0x13
  ret

drive: .byte 0
packet: # of the BIOS's extended read and write
  .byte 16, 0
  .word 1, BUFFER, 0
sector:
  .quad 0

.org 510
  .byte 0x55, 0xaa
