
# readline splits the line at `=` and `:` too, which a name=value of mailsudo may hold; the program does not. So join the
# words, ask the program, and cut off the text before the last of them, because readline replaces only the last.
_mailsudo() {
    local word current i
    local -a joined=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 0)) && [[ $word =~ ^[=:]+$ || ${COMP_WORDS[i - 1]} =~ ^[=:]+$ ]]; then
            joined[${#joined[@]} - 1]+=$word
        else
            joined+=("$word")
        fi
    done
    local -a COMP_WORDS=("${joined[@]}")
    local COMP_CWORD=$((${#joined[@]} - 1))
    current=${joined[COMP_CWORD]}
    _clap_complete_mailsudo mailsudo "$current"
    if [[ $COMP_WORDBREAKS == *=* && $current == *[=:]* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*[=:]}"}"}")
    fi
}
complete -o nospace -o bashdefault -F _mailsudo mailsudo
