#include "backend/cuda/host/algorithm_cache.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

namespace acd {
namespace {

constexpr size_t kMostProducts = 4096;

}  // namespace

AlgorithmCache::AlgorithmCache(std::string path, std::string identity)
    : path_(std::move(path)), identity_(std::move(identity)) {
  read();
}

std::string AlgorithmCache::folder(const char* (*environ)(const char*)) {
  if (const char* own = environ("ACD_CLIP_CACHE_DIR")) return own;
  if (const char* xdg = environ("XDG_CACHE_HOME")) return std::string(xdg) + "/acd-clip-native";
  if (const char* home = environ("HOME")) return std::string(home) + "/.cache/acd-clip-native";
  return "";
}

std::optional<AlgorithmWords> AlgorithmCache::find(const std::string& product) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = words_.find(product);
  if (it == words_.end()) return std::nullopt;
  return it->second;
}

void AlgorithmCache::put(const std::string& product, const AlgorithmWords& words) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (words_.size() >= kMostProducts) return;
  words_[product] = words;
  write();
}

void AlgorithmCache::read() {
  if (path_.empty()) return;
  std::ifstream file(path_);
  std::string line;
  if (!std::getline(file, line) || line != identity_) return;
  while (words_.size() < kMostProducts && std::getline(file, line)) {
    std::istringstream in(line);
    std::string product;
    AlgorithmWords words;
    in >> product >> std::hex;
    for (uint64_t& word : words) in >> word;
    std::string more;
    if (in.fail() || in >> more) continue;
    words_[product] = words;
  }
}

void AlgorithmCache::write() const {
  if (path_.empty()) return;
  const size_t slash = path_.rfind('/');
  if (slash != std::string::npos) ::mkdir(path_.substr(0, slash).c_str(), 0755);
  const std::string temporary = path_ + "." + std::to_string(::getpid());
  {
    std::ofstream file(temporary);
    file << identity_ << "\n" << std::hex;
    for (const auto& [product, words] : words_) {
      file << product;
      for (uint64_t word : words) file << " " << word;
      file << "\n";
    }
    if (!file.flush()) {
      std::remove(temporary.c_str());
      return;
    }
  }
  if (std::rename(temporary.c_str(), path_.c_str()) != 0) std::remove(temporary.c_str());
}

}  // namespace acd
