// How many columns of a terminal one character takes.
#pragma once

namespace rtd::ctl {

/// 0 for marks that stand on the character before, 2 for wide characters (most of East Asian scripts, emoji), else 1.
/// `character` is a Unicode code point that is no control character.
int columns_of(char32_t character) noexcept;

}  // namespace rtd::ctl
