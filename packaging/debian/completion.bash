# Completion for warren: its subcommands, and the commands and flags that its own help lists.
_warren() {
  local word=${COMP_WORDS[COMP_CWORD]} offers
  if ((COMP_CWORD == 1)); then
    offers='server ctl perf help --version --help'
  elif [[ ${COMP_WORDS[1]} == ctl && $word != -* ]]; then
    offers=$(warren ctl help 2>/dev/null | sed -n 's/^ \{1,\}\([a-z][a-z_]*\).*/\1/p')
  else
    offers=$(warren "${COMP_WORDS[1]}" --help 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u)
  fi
  mapfile -t COMPREPLY < <(compgen -W "$offers" -- "$word")
}
complete -F _warren warren
