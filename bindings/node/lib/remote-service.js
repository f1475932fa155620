'use strict'
// A service of another node, as feathers-distributed shows it.

const { Unavailable } = require('@feathersjs/errors')
const { mailbox } = require('./mailbox.js')
const { CONTEXT, travelling, timeLeft, checkData } = require('./params.js')
const { DEFAULT_METHODS } = require('./state.js')

class RemoteService {
  #state
  #healthy = true

  constructor(state, descriptor) {
    this.#state = state
    this.remote = true
    this.key = descriptor.key
    /** The path that it has on its own node. */
    this.path = descriptor.path
    this.remoteOptions = descriptor.remoteOptions
    for (const method of descriptor.methods) {
      if (!DEFAULT_METHODS.includes(method)) this[method] = (data, params) => this.#call(method, null, data, params)
    }
    // Feathers and its hooks work on objects that are made from this one, which have no private fields.
    this.isHealthy = () => this.#healthy
    this.setHealthy = (healthy) => { this.#healthy = healthy }
    this.find = (params) => this.#call('find', null, undefined, params)
    this.get = (id, params) => this.#call('get', id, undefined, params)
    this.create = (data, params) => this.#call('create', null, data, params)
    this.update = (id, data, params) => this.#call('update', id, data, params)
    this.patch = (id, data, params) => this.#call('patch', id, data, params)
    this.remove = (id, params) => this.#call('remove', id, undefined, params)
    this.healthcheck = async () => {
      if (this.#healthy) return true
      throw new Unavailable(`Unavailable distributed service on path ${this.path} with key ${this.key}`)
    }
  }

  async #call(method, id, data, params) {
    const context = params?.[CONTEXT]
    const call = { path: this.path, method, id, data: checkData(data), params: travelling(params), timeout: timeLeft(params) }
    const { result, dispatch, http } = await mailbox().call(this.#state, call)
    if (context) {
      if (dispatch) context.dispatch = dispatch[0]
      if (http && context.http) merge(context.http, http)
    }
    return result
  }
}

/** What hooks of the other node say of the REST reply, beside what those of this one have. */
function merge(own, { status, headers, location }) {
  if (status !== undefined) own.status = status
  if (location !== undefined) own.location = location
  if (headers) own.headers = { ...own.headers, ...headers }
}

module.exports = { RemoteService }
