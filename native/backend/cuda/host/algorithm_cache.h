// Which algorithm was fastest for a product, kept in a file between processes. A cache in every
// respect: a file that is missing, damaged, or of another library's version only costs a search.
//
// One line a product: its name, then the eight words of cuBLASLt's own description in hexadecimal.
// Who takes one asks the library whether it still serves before using it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

namespace acd {

using AlgorithmWords = std::array<uint64_t, 8>;

class AlgorithmCache {
 public:
  // `identity`: what the answers depend on (device, library version); another one starts empty. An
  // empty path keeps nothing on disk.
  AlgorithmCache(std::string path, std::string identity);

  std::optional<AlgorithmWords> find(const std::string& product) const;
  // Also writes the file, by another name and a rename; a failure to write is no failure.
  void put(const std::string& product, const AlgorithmWords& words);

  // ACD_CLIP_CACHE_DIR, else XDG_CACHE_HOME/acd-clip-native, else HOME/.cache/acd-clip-native;
  // empty when none is set.
  static std::string folder(const char* (*environ)(const char*));

 private:
  void read();
  void write() const;

  const std::string path_;
  const std::string identity_;
  mutable std::mutex mutex_;
  std::map<std::string, AlgorithmWords> words_;
};

}  // namespace acd
