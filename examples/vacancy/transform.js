// What the valve is told.
(event, target, actionType, ctx) => {
  ctx.state.heating = ctx.state.wanted;
  return { on: ctx.state.heating, at: event.time };
}
