# Completion of flowsmith for bash: tools, their options, and files.
_flowsmith() {
  local word=${COMP_WORDS[COMP_CWORD]} words
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="$(flowsmith --completions 2>/dev/null | cut -f 1) help --help --version"
  elif [ "${COMP_WORDS[1]}" = help ]; then
    words=$(flowsmith --completions 2>/dev/null | cut -f 1)
  elif [[ $word == -* ]]; then
    words=$(flowsmith "${COMP_WORDS[1]}" --completions 2>/dev/null | cut -f 1)
  else
    return  # a value: files, by -o default
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o default -F _flowsmith flowsmith
