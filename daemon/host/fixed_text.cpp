#include "daemon/host/fixed_text.h"

namespace rtd::host {

void fixed_text::append(const char* text) noexcept {
  for (; *text != '\0'; ++text) put(*text);
}

void fixed_text::append_number(std::uint64_t value) noexcept {
  char digits[20];
  std::size_t count = 0;
  do {
    digits[count++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  while (count > 0) put(digits[--count]);
}

void fixed_text::append_hex(std::uint64_t value) noexcept {
  char digits[16];
  std::size_t count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value % 16];
    value /= 16;
  } while (value != 0);
  put('0');
  put('x');
  while (count > 0) put(digits[--count]);
}

void fixed_text::append_escaped(const char* text, std::size_t most) noexcept {
  for (; most > 0 && *text != '\0'; ++text, --most) {
    if (*text == '"' || *text == '\\') put('\\');
    put(*text >= 0x20 && *text < 0x7F ? *text : '?');
  }
}

}  // namespace rtd::host
