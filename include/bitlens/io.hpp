#pragma once
/// Files: mapped, hashed, compressed, written all or nothing, and the formats JSON, NPY, NPZ, safetensors, GGUF and
/// Protocol Buffers.

#include "bitlens/io/atomic_file.hpp"
#include "bitlens/io/base64.hpp"
#include "bitlens/io/byte_cursor.hpp"
#include "bitlens/io/folder_lock.hpp"
#include "bitlens/io/foreign_file.hpp"
#include "bitlens/io/gguf.hpp"
#include "bitlens/io/gguf_blocks.hpp"
#include "bitlens/io/gguf_writer.hpp"
#include "bitlens/io/gzip.hpp"
#include "bitlens/io/json.hpp"
#include "bitlens/io/mapped_file.hpp"
#include "bitlens/io/npy.hpp"
#include "bitlens/io/npz.hpp"
#include "bitlens/io/pickle.hpp"
#include "bitlens/io/protobuf.hpp"
#include "bitlens/io/safetensors.hpp"
#include "bitlens/io/safetensors_writer.hpp"
#include "bitlens/io/sha256.hpp"
#include "bitlens/io/torch_file.hpp"
#include "bitlens/io/zip.hpp"
