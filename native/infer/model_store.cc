#include "infer/model_store.h"

#include <map>
#include <mutex>

namespace acd {
namespace {

struct Slot {
  std::mutex loading;
  std::weak_ptr<const AcdClip> model;
};

// The one static of the house: sharing across environments needs a place that none of them owns.
struct Store {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Slot>> slots;
};

Store& store() {
  // Never destroyed: threads may still look at it while the process exits.
  static Store* s = new Store();
  return *s;
}

}  // namespace

Result<std::shared_ptr<const AcdClip>> shared_model(
    const std::string& key, const std::function<Result<std::shared_ptr<const AcdClip>>()>& load) {
  if (key.empty()) return load();
  std::shared_ptr<Slot> slot;
  {
    std::lock_guard<std::mutex> lock(store().mutex);
    auto& slots = store().slots;
    for (auto it = slots.begin(); it != slots.end();) {
      const bool dead = it->second.use_count() == 1 && it->second->model.expired();
      it = dead ? slots.erase(it) : std::next(it);
    }
    auto& entry = slots[key];
    if (!entry) entry = std::make_shared<Slot>();
    slot = entry;
  }
  std::lock_guard<std::mutex> loading(slot->loading);
  if (auto alive = slot->model.lock()) return alive;
  auto loaded = load();
  if (loaded.ok()) slot->model = loaded.value();
  return loaded;
}

StoreInfo store_info() {
  std::lock_guard<std::mutex> lock(store().mutex);
  StoreInfo info{0, 0};
  for (const auto& entry : store().slots) {
    if (const auto model = entry.second->model.lock()) {
      ++info.models;
      info.bytes += model->weight_bytes();
    }
  }
  return info;
}

}  // namespace acd
