// The completion scripts. Each hands the words before the cursor to `rtctl __complete` and offers what it answers.
#include "daemon/ctl/completion.h"

namespace rtd::ctl {
namespace {

// Readline cuts words at "=" and ":" as well: the loop joins the parts of what the shell sees as one word, and what
// readline has already got of it is taken off the candidates again.
constexpr const char* bash_script = R"script(# bash completion for rtctl; needs bash 4.3
_rtctl() {
    local rest=${COMP_LINE:0:COMP_POINT} word trimmed line current cut program directives=0 i
    local -a words=() candidates=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        [[ $trimmed == "$word"* ]] || word=$trimmed
        if [[ $i -eq 0 || $trimmed != "$rest" ]]; then
            words+=("$word")
        else
            words[-1]+=$word
        fi
        rest=${trimmed#"$word"}
    done
    program=${words[0]}
    [[ $program == '~/'* ]] && program=$HOME/${program:2}
    while IFS= read -r line; do
        if [[ $line =~ ^:[0-9]+$ ]]; then
            directives=${line:1}
        else
            candidates+=("${line%%$'\t'*}")
        fi
    done < <("$program" __complete "${words[@]:1}" 2>/dev/null)
    current=${words[-1]}
    cut=${current%"${current##*[=:]}"}
    COMPREPLY=("${candidates[@]#"$cut"}")
    if ((directives & 2)); then
        compopt -o nospace 2>/dev/null
    fi
    if ((${#candidates[@]} == 0 && (directives & 4) == 0)); then
        compopt -o default 2>/dev/null
    fi
}
complete -F _rtctl rtctl
)script";

constexpr const char* zsh_script = R"script(#compdef rtctl
# zsh completion for rtctl
_rtctl() {
    local line word directives=0
    local -a candidates options
    for line in "${(@f)$("${(Q)words[1]/#\~\//$HOME/}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        if [[ $line == :<-> ]]; then
            directives=${line#:}
        elif [[ -n $line ]]; then
            word=${${line%%$'\t'*}//:/\\:}
            if [[ $line == *$'\t'* ]]; then
                candidates+=("$word:${line#*$'\t'}")
            else
                candidates+=("$word")
            fi
        fi
    done
    (( directives & 2 )) && options=(-S '')
    if (( ${#candidates} )); then
        _describe -t words 'rtctl' candidates "${options[@]}"
    elif (( ! (directives & 4) )); then
        compset -P '--*='
        _files
    fi
}
if [[ $funcstack[1] == _rtctl ]]; then
    _rtctl "$@"
elif (( $+functions[compdef] )); then
    compdef _rtctl rtctl
fi
)script";

constexpr const char* fish_script = R"script(# fish completion for rtctl
function __rtctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l directives 0
    set -l found 0
    for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        if string match -qr '^:[0-9]+$' -- $line
            set directives (string sub -s 2 -- $line)
        else
            set found 1
            printf '%s\n' $line
        end
    end
    if test $found -eq 0; and test (math "bitand($directives, 4)") -eq 0
        set -l before (string match -r -- '^--[^=]*=' "$current")
        for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' "$current"))
            printf '%s%s\n' "$before" $path
        end
    end
end
complete -c rtctl -f -a '(__rtctl_complete)'
)script";

}  // namespace

std::string completion_script(const std::string& shell) {
  if (shell == "bash") return bash_script;
  if (shell == "zsh") return zsh_script;
  if (shell == "fish") return fish_script;
  return {};
}

}  // namespace rtd::ctl
