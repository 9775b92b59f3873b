#include "addon/calls.h"

#include <algorithm>
#include <iterator>

namespace acd {
namespace {

constexpr size_t kNumbers = 16;

// JobNumber and resolve_detection say what stands where in `numbers`; typings/native.d.ts, what the
// objects are. Everything of a job is read before the first number is written: a getter may call.
constexpr char kCalls[] = R"((numbers) => {
  'use strict';
  // Calls under way by ticket: how to settle them, and what they hold. Tickets are used again: a Map
  // would shrink and grow with every call.
  const entries = [];
  const free = [];
  const draw = () => (free.length > 0 ? free.pop() : entries.push(undefined) - 1);
  const begin = (ticket, held, pixels) => {
    const entry = { held, pixels, resolve: undefined, reject: undefined };
    const result = new Promise((resolve, reject) => {
      entry.resolve = resolve;
      entry.reject = reject;
    });
    entries[ticket] = entry;
    return { id: numbers[0], result };
  };
  // Undefined for one that was settled: a result that could not be made is followed by its error.
  const take = (ticket) => {
    const entry = entries[ticket];
    if (entry === undefined) return undefined;
    entries[ticket] = undefined;
    free.push(ticket);
    return entry;
  };
  const number = (v) => (typeof v === 'number' && v === v ? v : Infinity);
  const optional = (v) => (v === undefined ? NaN : number(v));
  const flag = (v) => (v === undefined || v === false ? 0 : v === true ? 1 : Infinity);
  const mapSize = (v) => (v === 'none' ? 0 : v === 'model' ? 1 : v === 'image' ? 2 : Infinity);
  return {
    method: (submit) => (...args) => {
      const ticket = draw();
      let held;
      try {
        held = submit(ticket, ...args);
      } catch (error) {
        free.push(ticket);
        throw error;
      }
      return begin(ticket, held);
    },
    detectMethod: (submit) => (job) => {
      if (job === null || (typeof job !== 'object' && typeof job !== 'function')) return submit();
      const { pixels, tensor, text, width, height, blurTaps, blurSigma, mapWeight, map } = job;
      const { regionThreshold, regionMinArea, lent, debug, stages } = job;
      numbers[0] = number(width);
      numbers[1] = number(height);
      numbers[2] = number(blurTaps);
      numbers[3] = number(blurSigma);
      numbers[4] = number(mapWeight);
      numbers[5] = mapSize(map);
      numbers[6] = optional(regionThreshold);
      numbers[7] = optional(regionMinArea);
      numbers[8] = flag(lent);
      numbers[9] = flag(debug);
      numbers[10] = flag(stages);
      const ticket = draw();
      let held;
      try {
        held = submit(ticket, pixels, tensor, text);
      } catch (error) {
        free.push(ticket);
        throw error;
      }
      return begin(ticket, held, pixels);
    },
    resolve: (ticket, result) => take(ticket).resolve(result),
    reject: (ticket, error) => take(ticket)?.reject(error),
    resolveDetection: (ticket, more) => {
      const { held, resolve } = take(ticket);
      const detection = {
        score: numbers[0],
        cls: numbers[1],
        mapMax: numbers[2],
        map: held,
        mapWidth: numbers[3],
        mapHeight: numbers[4],
        timing: {
          queueMs: numbers[5],
          preprocessMs: numbers[6],
          computeMs: numbers[7],
          postprocessMs: numbers[8],
        },
        batch: numbers[9],
      };
      if (more !== undefined) {
        const { stages, ...others } = more;
        if (stages !== undefined) detection.timing.stages = stages;
        Object.assign(detection, others);
      }
      resolve(detection);
    },
  };
})";

// The environment, which may outlive whoever could free it, frees it.
Napi::FunctionReference kept(const Napi::Value& function) {
  Napi::FunctionReference reference = Napi::Persistent(function.As<Napi::Function>());
  reference.SuppressDestruct();
  return reference;
}

}  // namespace

Calls::Calls(Napi::Env env) {
  auto array = Napi::Float64Array::New(env, kNumbers);
  array_ = Napi::Persistent(array);
  array_.SuppressDestruct();
  numbers_ = array.Data();
  const auto make = env.RunScript(kCalls).As<Napi::Function>();
  const auto calls = make.Call({array}).As<Napi::Object>();
  method_ = kept(calls.Get("method"));
  detect_method_ = kept(calls.Get("detectMethod"));
  resolve_ = kept(calls.Get("resolve"));
  reject_ = kept(calls.Get("reject"));
  resolve_detection_ = kept(calls.Get("resolveDetection"));
}

void Calls::resolve(Ticket ticket, napi_value result) const {
  resolve_.Call({Napi::Number::New(resolve_.Env(), ticket), result});
}

void Calls::reject(Ticket ticket, napi_value error) const {
  reject_.Call({Napi::Number::New(reject_.Env(), ticket), error});
}

void Calls::resolve_detection(Ticket ticket, const Detection& d, napi_value more) const {
  const Timing& t = d.timing;
  const double numbers[] = {d.score,
                            d.cls,
                            d.map_max,
                            static_cast<double>(d.map.width),
                            static_cast<double>(d.map.height),
                            t.queue_ms,
                            t.preprocess_ms,
                            t.compute_ms,
                            t.postprocess_ms,
                            static_cast<double>(d.batch)};
  static_assert(sizeof numbers <= kNumbers * sizeof(double));
  std::copy(std::begin(numbers), std::end(numbers), numbers_);
  resolve_detection_.Call({Napi::Number::New(resolve_detection_.Env(), ticket), more});
}

}  // namespace acd
