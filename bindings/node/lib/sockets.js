'use strict'
// Custom methods of services that come later, on sockets that are open already: Feathers attaches the handlers of all
// methods when a socket connects, and none after that.

const { MethodNotAllowed, NotFound } = require('@feathersjs/errors')
const { toWire } = require('./errors.js')
const { registeredOptions, DEFAULT_METHODS } = require('./state.js')

/** Lets open sockets call the custom methods of a service. */
function serveOnOpenSockets(app, service) {
  const sockets = app.io?.sockets?.sockets
  if (!sockets) return
  const methods = registeredOptions(service).methods?.filter((method) => !DEFAULT_METHODS.includes(method)) ?? []
  for (const socket of sockets.values()) {
    for (const method of methods) {
      if (socket.listenerCount(method) > 0) continue
      socket.on(method, (path, ...args) => run(app, socket, path, method, args))
    }
  }
}

async function run(app, socket, path, method, args) {
  const acknowledge = typeof args.at(-1) === 'function' ? args.pop() : () => {}
  const [data, query] = args
  try {
    const found = typeof path === 'string' ? app.lookup(path) : null
    if (!found) throw new NotFound(`Service '${path}' not found`)
    const { service, params: route } = found
    if (!registeredOptions(service).methods?.includes(method)) {
      throw new MethodNotAllowed(`Method '${method}' not allowed on service '${path}'`)
    }
    const params = { query: { ...query }, route: route ?? {}, connection: socket.feathers, ...socket.feathers }
    const context = await service[method](data, params, service[method].createContext())
    acknowledge(null, context.dispatch ?? context.result)
  } catch (error) {
    acknowledge(toWire(error))
  }
}

module.exports = { serveOnOpenSockets }
