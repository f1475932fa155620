'use strict'
// Finds the native module for this machine: the one built beside, or the package for the platform.

const path = require('node:path')
const fs = require('node:fs')

/** As the packages are named: linux-x64-gnu, linux-arm64-musl, darwin-arm64, win32-x64-msvc. */
function platform() {
  const { platform, arch } = process
  if (platform === 'linux') return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
}

function isMusl() {
  // The report names the glibc that the process runs with; without one it runs with musl.
  const report = process.report?.getReport?.()
  if (report?.header) return !report.header.glibcVersionRuntime
  return fs.existsSync('/etc/alpine-release')
}

function load() {
  const name = platform()
  const own = process.env.RACHIS_NATIVE ?? path.join(__dirname, '..', 'prebuilt', `rachis.${name}.node`)
  if (fs.existsSync(own)) return require(own)
  try {
    return require(`@rachis/feathers-${name}`)
  } catch (error) {
    throw new Error(
      `@rachis/feathers has no native module for ${name}: neither ${own} nor the package @rachis/feathers-${name} can ` +
      `be loaded (${error.message}). Install with optional dependencies, on the platform that runs it`)
  }
}

module.exports = { load, platform }
