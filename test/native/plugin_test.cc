// What of the CUDA backend needs no GPU and no CUDA: where libraries are looked for, and what is
// said when they are not there.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <string>

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

TEST_CASE("without a usable device the reason is a sentence and a device is refused with it") {
  const CudaState& state = cuda_state(false);
  if (state.probe.usable) return;
  CHECK(std::string(state.probe.reason).size() > 10);
  const auto device = make_cuda_device(0);
  CHECK(device.status().code() == Code::kDeviceUnavailable);
  CHECK(device.status().message().find("Device cuda:0 cannot be used: ") == 0);
}
