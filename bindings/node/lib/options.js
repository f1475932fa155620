'use strict'
// The options of distribution(): what they may be, and what they are to the node.

const path = require('node:path')
const fs = require('node:fs')
const { DEFAULT_METHODS } = require('./state.js')

const isText = (value) => typeof value === 'string' && value !== ''
const isFunction = (value) => typeof value === 'function'
const isTexts = (value) => Array.isArray(value) && value.every(isText)
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const isTime = (value) => Number.isFinite(value) && value >= 0
const isFlag = (value) => typeof value === 'boolean'
const isRedis = (value) => isText(value) || isObject(value)

/** Each option: whether a value will do, and how to say what would. */
const KNOWN = {
  app: [isText, 'a name'],
  authentication: [isFlag, 'true or false'],
  componentDelay: [isTime, 'a number of milliseconds'],
  config: [isObject, 'an object like distribution.toml'],
  cote: [isObject, 'an object'],
  coteDelay: [(value) => isTime(value) || value === -1, 'a number of milliseconds, or -1'],
  distributedEvents: [isTexts, 'a list of names'],
  distributedMethods: [isTexts, 'a list of names'],
  healthcheckPath: [isText, 'a path'],
  heartbeatInterval: [isTime, 'a number of milliseconds'],
  hooks: [(value) => isObject(value) || Array.isArray(value), 'hooks as Feathers takes them'],
  key: [isText, 'a name'],
  linger: [(value) => isTime(value) || value === 'forever', "a number of milliseconds, or 'forever'"],
  log: [isFunction, 'a function of (level, text)'],
  middlewares: [isObject, '{ before, after }'],
  namespace: [isText, 'a name'],
  publicationDelay: [isTime, 'a number of milliseconds'],
  publishEvents: [isFlag, 'true or false'],
  redis: [isRedis, 'a URL, or an object like the section [redis] of distribution.toml'],
  remoteServiceOptions: [isFunction, 'a function of a descriptor'],
  remoteServicePath: [isFunction, 'a function of a descriptor'],
  remoteServices: [(value) => isFunction(value) || isTexts(value), 'a function of a descriptor, or a list of paths'],
  services: [(value) => isFunction(value) || isTexts(value), 'a function of a descriptor, or a list of paths'],
  sync: [isFlag, 'true or false'],
  timeout: [isTime, 'a number of milliseconds']
}

/** Options of cote that mean nothing here: there are no ports, no master and no broadcasts. */
const COTE_UNNEEDED = ['basePort', 'highestPort', 'masterTimeout', 'checkInterval', 'broadcast', 'multicast', 'log',
  'useHostNames', 'advertisement', 'redis', 'helloLogsEnabled', 'statusLogsEnabled', 'ignoreProcess', 'disableScreen']

const millis = (value) => (value === undefined ? undefined : `${Math.round(value)}ms`)

function check(options) {
  if (!isObject(options)) throw new TypeError('distribution(): the options are an object')
  for (const [name, value] of Object.entries(options)) {
    // A null is how configuration files say nothing.
    if (value === undefined || value === null) continue
    const known = Object.hasOwn(KNOWN, name) && KNOWN[name]
    if (!known) {
      throw new TypeError(`distribution(): '${name}' is no option; there are ${Object.keys(KNOWN).join(', ')}`)
    }
    const [isGood, what] = known
    if (!isGood(value)) throw new TypeError(`distribution(): the option '${name}' has to be ${what}`)
  }
}

/** The name of the package that the process runs, which its replicas share. */
function packageName() {
  let folder = require.main?.path ?? process.cwd()
  for (;;) {
    try {
      const { name } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))
      // A scope has a slash, which parts key and app.
      if (isText(name)) return name.replace(/^@/, '').replaceAll('/', '-')
    } catch {}
    const above = path.dirname(folder)
    if (above === folder) return 'node'
    folder = above
  }
}

/** A list of paths, or a function, as a function. */
function descriptorPredicate(wanted) {
  if (isFunction(wanted)) return wanted
  return wanted ? (descriptor) => wanted.includes(descriptor.path) : () => true
}

/** Over a section that has it already, what an option says wins. */
function merge(over, under) {
  const merged = { ...under }
  for (const [key, value] of Object.entries(over)) {
    if (value === undefined) continue
    merged[key] = isObject(value) && isObject(merged[key]) ? merge(value, merged[key]) : value
  }
  return merged
}

/** Checks options. Returns them with their defaults, and what the node is made by. */
function read(given) {
  check(given)
  const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null && value !== undefined))
  const cote = options.cote ?? {}
  const unneeded = Object.keys(cote).filter((name) => COTE_UNNEEDED.includes(name))
  const warnings = unneeded.length === 0 ? [] : [`options of cote that are not needed: ${unneeded.join(', ')}; nodes meet in Redis`]
  const redis = isText(options.redis) ? { url: options.redis } : options.redis
  const config = merge({
    app: options.app,
    key: options.key,
    namespace: options.namespace,
    redis,
    timeout: millis(options.timeout),
    publication_delay: millis(options.publicationDelay),
    heartbeat_interval: millis(options.heartbeatInterval ?? cote.helloInterval),
    ttl: millis(cote.nodeTimeout),
    linger: options.linger === 'forever' ? 'forever' : millis(options.linger),
    healthcheck_path: options.healthcheckPath,
    publish_events: options.publishEvents,
    authentication: options.authentication
  }, options.config ?? {})
  return {
    options: { middlewares: {}, publishEvents: true, ...options },
    native: { config: JSON.stringify({ config, app: packageName() }), warnings, log: options.log }
  }
}

module.exports = { read, descriptorPredicate, DEFAULT_METHODS }
