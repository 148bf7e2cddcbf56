#pragma once
/// Tokenizers, documents, near duplicates.

#include "bitlens/text/added_tokens.hpp"
#include "bitlens/text/byte_alphabet.hpp"
#include "bitlens/text/byte_pair.hpp"
#include "bitlens/text/documents.hpp"
#include "bitlens/text/near_duplicates.hpp"
#include "bitlens/text/normalizer.hpp"
#include "bitlens/text/pre_tokenizer.hpp"
#include "bitlens/text/split.hpp"
#include "bitlens/text/text_windows.hpp"
#include "bitlens/text/tokenizer.hpp"
#include "bitlens/text/tokenizer_definition.hpp"
#include "bitlens/text/tokenizer_gguf.hpp"
#include "bitlens/text/tokenizer_json.hpp"
#include "bitlens/text/unicode.hpp"
