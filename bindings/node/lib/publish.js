'use strict'
// Services of this application as other nodes see them.

const { mailbox } = require('./mailbox.js')
const { stripSlashes, serviceAt, registeredOptions, DEFAULT_EVENTS, DEFAULT_METHODS } = require('./state.js')
const { outgoing } = require('./events.js')
const { CALL } = require('./params.js')
const debug = require('debug')('rachis:feathers:publish')

/** Announces all services of the application. */
function publishAll(state) {
  mailbox().attach(state, {
    serve: (number, call) => serve(state, number, call),
    event: (event) => state.remotes.event(event) || state.sync?.event(event),
    change: (change) => state.remotes.change(change)
  })
  for (const path of Object.keys(state.app.services)) publish(state, path)
}

/** Announces the service at `path`, if it is one that others may see. */
function publish(state, givenPath) {
  const path = stripSlashes(givenPath)
  const service = serviceAt(state.app, path)
  if (!service || service.remote || isHealth(state, path)) return
  unpublish(state, path)
  const registered = registeredOptions(service)
  // What was given to app.use counts, not what the service's adapter has under the same name.
  const options = { ...service.options, ...registered }
  const { distributedEvents, distributedMethods } = state.options
  const own = [...new Set([...DEFAULT_EVENTS, ...(registered.events ?? service.events ?? [])])]
  const events = options.distributedEvents ?? own.filter((event) => !distributedEvents || distributedEvents.includes(event))
  const methods = options.distributedMethods ?? (registered.methods ?? DEFAULT_METHODS)
    .filter((method) => !distributedMethods || distributedMethods.includes(method))
  const { uuid, shortUuid } = state.app
  const descriptor = { uuid, shortUuid, key: state.node.key, path, events, methods }
  if (!state.predicates.services(descriptor)) {
    debug('%s stays in this app', path)
    return
  }
  const offered = methods.filter((method) => typeof service[method] === 'function')
  if (offered.length === 0) return
  const announced = {}
  for (const name of state.options.remoteServiceOptions?.(descriptor) ?? []) announced[name] = options[name]
  const listeners = state.options.publishEvents ? listen(state, path, service, events) : new Map()
  state.published.set(path, { service, listeners, events, methods: new Set(offered) })
  const told = { path, methods: offered, events: [...listeners.keys()], idempotent: options.idempotentMethods ?? [], options: announced }
  mailbox().ask(state, { register: told }).then(() => state.sync?.listen(path), (error) => {
    forget(state, path)
    mailbox().log('error', 'rachis::feathers', `the service '${path}' is not offered to other nodes: ${error.message}`)
  })
  debug('%s is offered: %o', path, told)
}

/** Takes the service at `path` back. */
function unpublish(state, givenPath) {
  const path = stripSlashes(givenPath)
  if (!forget(state, path)) return
  mailbox().ask(state, { unregister: path }).catch((error) => mailbox().log('warn', 'rachis::feathers', error.message))
}

/** Tells nothing more of the service at `path`; says whether it did. */
function forget(state, path) {
  const published = state.published.get(path)
  if (!published) return false
  state.published.delete(path)
  for (const [event, listener] of published.listeners) published.service.off(event, listener)
  return true
}

function isHealth(state, path) {
  return path === state.healthPath || path.startsWith(`${state.healthPath}/`)
}

function listen(state, path, service, events) {
  const listeners = new Map()
  for (const event of events) {
    const listener = (data, context) => {
      // One that came from another replica goes no further.
      if (state.sync?.isPassing()) return
      try {
        mailbox().emit(state, outgoing(path, event, data, context))
        state.sync?.told({ event, path, data, context })
      } catch (error) {
        mailbox().log('error', 'rachis::feathers', `the event '${event}' of '${path}' can not travel: ${error.message}`)
      }
    }
    service.on(event, listener)
    listeners.set(event, listener)
  }
  return listeners
}

/** Runs a call of another node, with all hooks. */
async function serve(state, number, { path, method, id, data, params, timeout }) {
  const published = state.published.get(path)
  const service = published?.service
  // The node has checked both; they may have gone since.
  if (!published?.methods.has(method)) throw new Error(`Method '${method}' of service '${path}' is gone`)
  params[CALL] = number
  if (timeout !== undefined) params.deadline = Date.now() + timeout
  const context = service[method].createContext(params.provider === 'rest' ? { http: {} } : {})
  const args = argumentsOf(method, id, data, params)
  const ended = await service[method](...args, context)
  const answer = { result: ended.result }
  if (ended.dispatch !== undefined) answer.dispatch = [ended.dispatch]
  const http = params.provider === 'rest' ? httpOf(ended.http) : undefined
  if (http) answer.http = http
  return answer
}

function argumentsOf(method, id, data, params) {
  switch (method) {
    case 'find': return [params]
    case 'get':
    case 'remove': return [id, params]
    case 'update':
    case 'patch': return [id, data, params]
    default: return [data, params]
  }
}

/** What hooks say of the REST reply; headers are text. */
function httpOf(http) {
  if (!http || Object.keys(http).length === 0) return undefined
  const headers = Object.entries(http.headers ?? {})
    .map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : String(value)])
  return { status: http.status, headers: Object.fromEntries(headers), location: http.location }
}

module.exports = { publish, publishAll, unpublish }
