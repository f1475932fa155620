'use strict'
// Events and the calls that caused them, on their way between nodes.

const { CALL } = require('./params.js')

/** An event of this application for other nodes. */
function outgoing(path, name, data, context) {
  const at = Array.isArray(context?.result) ? context.result.indexOf(data) : -1
  const event = { path, name, data: viewOf(data, context, at) }
  if (context?.method) {
    const { params = {} } = context
    event.by = params[CALL]
    event.context = {
      method: context.method,
      id: context.id,
      query: params.query ?? {},
      route: params.route,
      provider: params.provider,
      user: params.user
    }
    if (context.data !== undefined) {
      event.context.data = [at >= 0 && Array.isArray(context.data) ? context.data[at] : context.data]
    }
  }
  return event
}

/** What others may see of a record: what hooks say that clients get, if they do. */
function viewOf(data, context, at) {
  const { dispatch } = context ?? {}
  if (dispatch === undefined || dispatch === null) return data
  return at >= 0 && Array.isArray(dispatch) ? dispatch[at] : dispatch
}

/** The context of an event of another node, as listeners and channels of this application get it. */
function incoming(app, service, path, event) {
  const { name, data, context } = event
  const made = { app, service, path, event: name, result: data }
  if (!context) return made
  const { method, id, query, route, provider, user } = context
  const params = { query: query ?? {} }
  if (provider !== undefined) params.provider = provider
  if (route !== undefined) params.route = route
  if (user !== undefined) params.user = user
  Object.assign(made, { type: 'around', method, params })
  if (id !== undefined) made.id = id
  if (context.data) made.data = context.data[0]
  return made
}

module.exports = { outgoing, incoming }
