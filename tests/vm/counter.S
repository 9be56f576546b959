# virt-thin - the smallest guest: it counts on its disk
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A boot sector for QEMU's BIOS, made with
#     as --32 -o counter.o counter.S && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o counter.bin counter.o
# Sector 1 begins with the number of boots, sector 2 with a number that grows with each timer tick (18 a second), 16 bits each. Both are read back. What it says goes to the first
# serial port: "boot NNNN" in hexadecimal; then "error" for each request that fails, "lost" where it reads something else than it wrote, and "off" when the power button ends it.
# The BIOS's virtio driver knows no flush, so that QEMU flushes after each write.
.intel_syntax noprefix
.code16
.globl _start

.set BUFFER, 0x8000
.set SERIAL, 0x3f8
.set PM1_STATUS, 0x600  # where the BIOS has the machine's ACPI registers: status, enable, control
.set PM1_ENABLE, 0x602
.set PM1_CONTROL, 0x604
.set POWER_BUTTON, 0x100
.set SLEEP_ENABLE, 0x2000 # with sleep type 0: off

_start:
  xor ax, ax
  mov ds, ax
  mov ss, ax
  mov sp, 0x7c00
  mov [drive], dl
  mov dx, PM1_ENABLE
  mov ax, POWER_BUTTON
  out dx, ax
  sti

  mov si, 1
  call count
  mov si, offset boot_text
  call print
  mov bx, [BUFFER]
  call print_number

tick:
  hlt
  mov si, 2
  call count
  mov dx, PM1_STATUS
  in ax, dx
  test ax, POWER_BUTTON
  jz tick
  mov si, offset off_text
  call print
  mov dx, PM1_CONTROL
  mov ax, SLEEP_ENABLE
  out dx, ax
end:
  hlt
  jmp end

# The number in sector SI becomes one more.
count:
  mov [sector], si
  mov ah, 0x42
  call request
  mov bx, [BUFFER]
  inc bx
  mov [BUFFER], bx
  mov ax, 0x4300
  call request
  mov word ptr [BUFFER], 0
  mov ah, 0x42
  call request
  cmp bx, [BUFFER]
  je done
  mov si, offset lost_text
  jmp print

# AX: what the BIOS is to do with the sector.
request:
  mov dl, [drive]
  mov si, offset packet
  int 0x13
  jnc done
  mov si, offset error_text
# SI: text that ends with a zero.
print:
  lodsb
  test al, al
  jz done
  call put
  jmp print
done:
  ret

# BX, in four digits, and the end of the line.
print_number:
  mov cx, 4
digit:
  rol bx, 4
  mov al, bl
  and al, 15
  add al, '0'
  cmp al, '9'
  jbe decimal
  add al, 'a' - '0' - 10
decimal:
  call put
  loop digit
  mov al, '\n'
put:
  mov dx, SERIAL
  out dx, al
  ret

boot_text: .asciz "boot "
error_text: .asciz "error\n"
lost_text: .asciz "lost\n"
off_text: .asciz "off\n"
drive: .byte 0
packet: # of the BIOS's extended read and write
  .byte 16, 0
  .word 1, BUFFER, 0
sector:
  .quad 0

.org 510
  .byte 0x55, 0xaa
