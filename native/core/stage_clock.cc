#include "core/stage_clock.h"

#include <algorithm>

namespace acd {

thread_local StageClock* StageClock::current_ = nullptr;

void StageClock::add(const Stage& call) {
  auto found = std::find_if(stages_.begin(), stages_.end(), [&](const Stage& s) {
    return s.op == call.op && s.rows == call.rows && s.from == call.from && s.to == call.to;
  });
  if (found == stages_.end())
    found = stages_.insert(stages_.end(), {call.op, call.rows, call.from, call.to});
  found->calls += 1;
  found->ms += call.ms;
}

}  // namespace acd
