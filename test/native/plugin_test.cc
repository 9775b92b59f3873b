// What of the CUDA backend needs no GPU and no CUDA: where libraries are looked for, and what is
// said when they are not there.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <string>

#include "backend/cuda/host/algorithm_cache.h"
#include "backend/cuda/host/libraries.h"
#include "backend/cuda_plugin.h"

using namespace acd;

namespace {

std::map<std::string, std::string> g_environ;

const char* fake_environ(const char* name) {
  const auto it = g_environ.find(name);
  return it == g_environ.end() ? nullptr : it->second.c_str();
}

const LibraryWish kWish = {"Fake", "libacdfake.so.1", {"fake/lib"}};

// A folder of its own that holds a file which is no library.
class BrokenLibrary {
 public:
  explicit BrokenLibrary(const std::string& below) {
    char name[] = "/tmp/acd-cuda-test-XXXXXX";
    root = mkdtemp(name);
    folder = root;
    size_t begin = 0;
    while (begin < below.size()) {
      const size_t end = std::min(below.find('/', begin), below.size());
      folder += "/" + below.substr(begin, end - begin);
      mkdir(folder.c_str(), 0700);
      made.push_back(folder);
      begin = end + 1;
    }
    file = folder + "/" + kWish.soname;
    std::ofstream(file) << "no library";
  }
  ~BrokenLibrary() {
    std::remove(file.c_str());
    for (auto it = made.rbegin(); it != made.rend(); ++it) std::remove(it->c_str());
    std::remove(root.c_str());
  }
  std::string root, folder, file;

 private:
  std::vector<std::string> made;
};

}  // namespace

TEST_CASE("a library that is nowhere is reported with what the loader said") {
  g_environ = {};
  const OpenedLibrary library = open_library(kWish, fake_environ);
  CHECK(library.handle == nullptr);
  CHECK(library.failure.find("libacdfake.so.1") != std::string::npos);
  CHECK(find_symbol(library, "anything") == nullptr);
}

TEST_CASE("a damaged library is reported by its path") {
  const BrokenLibrary broken("");
  g_environ = {{"ACD_CUDA_LIBRARY_PATH", "/nonexistent:" + broken.folder}};
  const OpenedLibrary library = open_library(kWish, fake_environ);
  CHECK(library.handle == nullptr);
  CHECK(library.failure.find(broken.file) != std::string::npos);
}

TEST_CASE("the wheels of a virtual environment are found, after the system and CUDA_HOME") {
  const BrokenLibrary broken("lib/python3.11/site-packages/nvidia/fake/lib");
  g_environ = {{"VIRTUAL_ENV", broken.root}, {"CUDA_HOME", "/opt/somewhere"}};
  const std::vector<SearchFolder> folders = search_folders(kWish, fake_environ);
  REQUIRE(folders.size() >= 3);
  CHECK(folders.front().origin == "the system");
  CHECK(folders[1].folder == "/opt/somewhere/lib64");
  CHECK(folders.back().folder == broken.folder);
  CHECK(folders.back().origin == "the Python wheels of VIRTUAL_ENV");
}

TEST_CASE("a library of the system is opened and says where it was found") {
  g_environ = {};
  const OpenedLibrary library = open_library({"C library", "libc.so.6", {}}, fake_environ);
  REQUIRE(library.handle != nullptr);
  CHECK(library.origin == "the system");
  CHECK(library.path.rfind("/libc.so.6") != std::string::npos);
  CHECK(find_symbol(library, "malloc") != nullptr);
}

TEST_CASE("algorithms are remembered between processes, for the same device and library alone") {
  const BrokenLibrary folder("cache");
  const std::string path = folder.folder + "/algorithms.txt";
  const AlgorithmWords words = {1, 0, ~uint64_t{0}, 4, 5, 6, 7, 0x123456789abcdef0u};
  {
    AlgorithmCache cache(path, "library 1 on a device");
    CHECK(!cache.find("12_34_56"));
    cache.put("12_34_56", words);
    cache.put("other", {});
  }
  const AlgorithmCache again(path, "library 1 on a device");
  REQUIRE(again.find("12_34_56"));
  CHECK(*again.find("12_34_56") == words);
  CHECK(!AlgorithmCache(path, "library 2 on a device").find("12_34_56"));
  std::remove(path.c_str());
}

TEST_CASE("a damaged file of algorithms costs what is damaged and nothing else") {
  const BrokenLibrary folder("cache");
  const std::string path = folder.folder + "/algorithms.txt";
  std::ofstream(path) << "me\nshort 1 2 3\nlong 1 2 3 4 5 6 7 8 9\nletters x y z\n\n"
                      << "good 1 2 3 4 5 6 7 8\n";
  AlgorithmCache cache(path, "me");
  CHECK(!cache.find("short"));
  CHECK(!cache.find("long"));
  CHECK(!cache.find("letters"));
  REQUIRE(cache.find("good"));
  CHECK((*cache.find("good"))[7] == 8);
  std::remove(path.c_str());
  // A folder that cannot be written only forgets.
  AlgorithmCache nowhere("/nonexistent/folder/file", "me");
  nowhere.put("product", {});
  CHECK(nowhere.find("product"));
}

TEST_CASE("the cache's folder is the user's") {
  g_environ = {{"HOME", "/home/someone"}};
  CHECK(AlgorithmCache::folder(fake_environ) == "/home/someone/.cache/acd-clip-native");
  g_environ["XDG_CACHE_HOME"] = "/xdg";
  CHECK(AlgorithmCache::folder(fake_environ) == "/xdg/acd-clip-native");
  g_environ["ACD_CLIP_CACHE_DIR"] = "/own";
  CHECK(AlgorithmCache::folder(fake_environ) == "/own");
}

TEST_CASE("without a usable device the reason is a sentence and a device is refused with it") {
  const CudaState& state = cuda_state(false);
  if (state.probe.usable) return;
  CHECK(std::string(state.probe.reason).size() > 10);
  const auto device = make_cuda_device(0);
  CHECK(device.status().code() == Code::kDeviceUnavailable);
  CHECK(device.status().message().find("Device cuda:0 cannot be used: ") == 0);
}
