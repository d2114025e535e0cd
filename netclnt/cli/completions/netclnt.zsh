#compdef netclnt
# zsh completion for netclnt, printed by: netclnt completion zsh

_netclnt() {
    local kind value about files dirs
    local -a plain parts told
    while IFS=$'\t' read -r kind value about; do
        case $kind in
            plain) if [[ -n $about ]]; then told+=("${value//:/\\:}:$about"); else plain+=("$value"); fi ;;
            part) parts+=("$value") ;;
            file) files=1 ;;
            dir) dirs=1 ;;
        esac
    done < <(_NETCLNT_COMPLETE=zsh_complete _NETCLNT_LINE="${(j: :)words[1,CURRENT]}" "${words[1]}" 2>/dev/null)

    if [[ -n $files$dirs ]]; then
        [[ $PREFIX == --*=* ]] && compset -P '*='
        if [[ -n $files ]]; then _files; else _files -/; fi
        return
    fi
    (( $#told )) && _describe -V netclnt told -U
    (( $#parts )) && compadd -U -S '' -V parts -a parts
    (( $#plain )) && compadd -U -V names -a plain
}

if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
    _netclnt "$@"
else
    compdef _netclnt netclnt
fi
