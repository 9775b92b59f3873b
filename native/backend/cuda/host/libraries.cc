#include "backend/cuda/host/libraries.h"

#include <dlfcn.h>
#include <glob.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

namespace acd {
namespace {

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(':', begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string value(Environ environ, const char* name) {
  const char* v = environ(name);
  return v ? v : "";
}

std::vector<std::string> matches(const std::string& pattern) {
  std::vector<std::string> found;
  glob_t g;
  if (::glob(pattern.c_str(), 0, nullptr, &g) == 0) {
    for (size_t i = 0; i < g.gl_pathc; ++i) found.emplace_back(g.gl_pathv[i]);
  }
  ::globfree(&g);
  return found;
}

// A folder that a shell's pattern would read as one is no folder of ours.
bool plain(const std::string& path) { return path.find_first_of("*?[\\") == std::string::npos; }

void add_wheels(const std::string& prefix, const std::string& origin, const LibraryWish& wish,
                std::vector<SearchFolder>& out) {
  if (prefix.empty() || !plain(prefix)) return;
  for (const char* site : {"site-packages", "dist-packages"}) {
    for (const std::string& folder : wish.wheel_folders) {
      for (std::string& hit :
           matches(prefix + "/lib/python3*/" + site + "/nvidia/" + folder + "/" + wish.soname)) {
        hit.resize(hit.rfind('/'));
        out.push_back({std::move(hit), origin});
      }
    }
  }
}

std::string folder_above(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

// The prefix of an interpreter by its place, and by the place that its links lead to.
std::vector<std::string> python_prefixes(const std::string& path_variable) {
  std::vector<std::string> prefixes;
  for (const std::string& folder : split(path_variable)) {
    const std::string python = folder + "/python3";
    if (::access(python.c_str(), X_OK) != 0) continue;
    prefixes.push_back(folder_above(folder));
    char real[PATH_MAX];
    if (::realpath(python.c_str(), real)) {
      prefixes.push_back(folder_above(folder_above(real)));
    }
  }
  return prefixes;
}

std::string path_of(void* handle, const std::string& asked) {
  char origin[PATH_MAX] = {};
  if (::dlinfo(handle, RTLD_DI_ORIGIN, origin) != 0) return asked;
  const size_t slash = asked.rfind('/');
  return std::string(origin) + "/" + (slash == std::string::npos ? asked : asked.substr(slash + 1));
}

}  // namespace

std::vector<SearchFolder> search_folders(const LibraryWish& wish, Environ environ) {
  std::vector<SearchFolder> out;
  for (std::string& folder : split(value(environ, "ACD_CUDA_LIBRARY_PATH")))
    out.push_back({std::move(folder), "ACD_CUDA_LIBRARY_PATH"});
  out.push_back({"", "the system"});
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    const std::string home = value(environ, variable);
    if (home.empty()) continue;
    for (const char* folder : {"/lib64", "/lib", "/targets/x86_64-linux/lib"})
      out.push_back({home + folder, variable});
  }
  out.push_back({"/usr/local/cuda/lib64", "/usr/local/cuda"});
  for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    add_wheels(value(environ, variable), std::string("the Python wheels of ") + variable, wish,
               out);
  for (const std::string& prefix : python_prefixes(value(environ, "PATH")))
    add_wheels(prefix, "the Python wheels of " + prefix, wish, out);
  return out;
}

OpenedLibrary open_library(const LibraryWish& wish, Environ environ) {
  OpenedLibrary library;
  std::string tried;
  for (const SearchFolder& place : search_folders(wish, environ)) {
    const std::string path = place.folder.empty() ? wish.soname : place.folder + "/" + wish.soname;
    if (!place.folder.empty() && ::access(path.c_str(), F_OK) != 0) continue;
    // Global: cuDNN's parts look for cuBLASLt by name among what is loaded already.
    if (void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL)) {
      library.handle = handle;
      library.path = path_of(handle, path);
      library.origin = place.origin;
      return library;
    }
    const char* why = ::dlerror();
    if (!tried.empty()) tried += "; ";
    tried += why ? why : path;
  }
  library.failure = tried;
  return library;
}

const char* process_environ(const char* name) { return std::getenv(name); }

std::string version_text(size_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

void* find_symbol(const OpenedLibrary& library, const char* name) {
  return library.handle ? ::dlsym(library.handle, name) : nullptr;
}

}  // namespace acd
