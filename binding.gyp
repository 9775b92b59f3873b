# For users of node-gyp: one target that runs the CMake build. Not in the npm tarball, where npm would
# run node-gyp by itself on install.
{
  "targets": [
    {
      "target_name": "acd_clip",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/Release/acd_clip.node"],
          "action": ["node", "scripts/build-native.mjs"]
        }
      ]
    }
  ]
}
