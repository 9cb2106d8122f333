#include "CEmbedded.h"

#include <string.h>

// scripts/make-base makes these files with `ttrl-dev pretrain`.
static const unsigned char config[] = {
#embed "files/config.json"
};
static const unsigned char generation_config[] = {
#embed "files/generation_config.json"
};
static const unsigned char tokenizer[] = {
#embed "files/tokenizer.json"
};
static const unsigned char model[] = {
#embed "files/model.safetensors"
};
static const unsigned char questions[] = {
#embed "files/questions.jsonl"
};
static const unsigned char held_out[] = {
#embed "files/held-out.jsonl"
};
static const unsigned char unsolvable[] = {
#embed "files/unsolvable.jsonl"
};

const unsigned char *ttrl_embedded_file(const char *name, long *count) {
#define FILE_NAMED(text, bytes)                                                                                        \
  if (strcmp(name, text) == 0) {                                                                                       \
    *count = sizeof bytes;                                                                                             \
    return bytes;                                                                                                      \
  }
  FILE_NAMED("config.json", config)
  FILE_NAMED("generation_config.json", generation_config)
  FILE_NAMED("tokenizer.json", tokenizer)
  FILE_NAMED("model.safetensors", model)
  FILE_NAMED("questions.jsonl", questions)
  FILE_NAMED("held-out.jsonl", held_out)
  FILE_NAMED("unsolvable.jsonl", unsolvable)
#undef FILE_NAMED
  return NULL;
}

#ifndef TTRL_COMMIT
#define TTRL_COMMIT unknown
#endif
#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)

const char *ttrl_commit(void) { return TEXT(TTRL_COMMIT); }
