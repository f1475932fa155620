'use strict'
// What this package keeps of an application, and of a path.

const STATE = Symbol('@rachis/feathers')

const stateOf = (app) => app?.[STATE]
const setState = (app, state) => Object.defineProperty(app, STATE, { value: state })
const stripSlashes = (path) => path.replace(/^(\/+)|(\/+)$/g, '')

/** Paths under which Feathers, which keeps services in an object of the usual kind, can not have one: it would break by that. */
const IMPOSSIBLE = new Set(['hasOwnProperty', '__proto__'])
const isPossible = (path) => !IMPOSSIBLE.has(stripSlashes(path))

/** The service at `path`, or undefined; Feathers throws for one that is not there. */
function serviceAt(app, path) {
  const known = Object.prototype.hasOwnProperty.call(app.services, stripSlashes(path) || '/')
  return known ? app.service(path) : undefined
}

const SERVICE = Symbol.for('@feathersjs/service')
/** The options that a service was registered with. */
const registeredOptions = (service) => service[SERVICE] ?? {}

const DEFAULT_EVENTS = ['created', 'updated', 'patched', 'removed']
const DEFAULT_METHODS = ['find', 'get', 'create', 'update', 'patch', 'remove']

module.exports = { stateOf, setState, stripSlashes, isPossible, serviceAt, registeredOptions, DEFAULT_EVENTS, DEFAULT_METHODS }
